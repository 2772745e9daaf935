/* Short messages compressed and inflated, each for itself (RFC 7692): dualws.hot.pure.Deflate,
 * compiled.
 *
 * Law: *the interpreter's lock is held*. Python's module lets others run in each of its calls, and
 * to get the lock back from one of many threads takes longer than a short message does. So what
 * was set up for one message serves the next as well: there is an inflater, and a compressor for
 * each window, in the process, and no connection holds any. The zlib is the one that Python's
 * module calls.
 */
#include "hot.h"

#include <dlfcn.h>

/* Bytes that are compressed, or inflated, here at most, and what they become at most. */
#define SHORT_MESSAGE (8 * 1024)
#define SHORT_INFLATED (64 * 1024)

#define Z_OK 0
#define Z_STREAM_END 1
#define Z_BUF_ERROR -5
#define Z_SYNC_FLUSH 2
#define Z_DEFLATED 8

/* zlib.h's z_stream: its layout is the library's binary interface. */
typedef struct {
    const unsigned char *next_in;
    unsigned avail_in;
    unsigned long total_in;
    unsigned char *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state;
    void *(*zalloc)(void *, unsigned, unsigned);
    void (*zfree)(void *, void *);
    void *opaque;
    int data_type;
    unsigned long adler;
    unsigned long reserved;
} z_stream;

static struct {
    int (*deflateInit2_)(z_stream *, int, int, int, int, int, const char *, int);
    int (*deflate)(z_stream *, int);
    int (*deflateReset)(z_stream *);
    int (*deflateEnd)(z_stream *);
    int (*inflateInit2_)(z_stream *, int, const char *, int);
    int (*inflate)(z_stream *, int);
    int (*inflateReset2)(z_stream *, int);
    char version[32];
} zlib;

#define TAIL_SIZE 4
static const char TAIL[TAIL_SIZE] = {0, 0, (char)0xff, (char)0xff};
static const char FINAL_BLOCK[] = {1, 0, 0, (char)0xff, (char)0xff};
#define MEMORY_LEVEL 5

/* For each window. */
static struct {
    z_stream stream;
    int level, ready;
} compressors[16];

static z_stream inflater;
static int inflater_ready;
static char received[SHORT_MESSAGE + TAIL_SIZE], inflated[SHORT_INFLATED + 1];

/* Whether the library is found that Python's module *path* has loaded, or has become a part of. */
static int
find_library(const char *path)
{
    void *library = dlopen(path, RTLD_LAZY);
    if (library == NULL)
        return 0;
#define FIND(function) \
    *(void **)&zlib.function = dlsym(library, #function); \
    if (zlib.function == NULL) \
        return 0;
    FIND(deflateInit2_) FIND(deflate) FIND(deflateReset) FIND(deflateEnd)
    FIND(inflateInit2_) FIND(inflate) FIND(inflateReset2)
#undef FIND
    return 1;
}

int
find_zlib(void)
{
    PyObject *module = PyImport_ImportModule("zlib");
    if (module == NULL)
        return -1;
    PyObject *path = PyObject_GetAttrString(module, "__file__");
    if (path == NULL)
        PyErr_Clear(); /* it is built into Python */
    PyObject *version = PyObject_GetAttrString(module, "ZLIB_VERSION");
    const char *file = path == NULL ? NULL : PyUnicode_AsUTF8(path);
    const char *number = version == NULL ? NULL : PyUnicode_AsUTF8(version);
    int found = -1;
    if (!PyErr_Occurred() && (found = strlen(number) < sizeof zlib.version && find_library(file)))
        strcpy(zlib.version, number);
    Py_XDECREF(version);
    Py_XDECREF(path);
    Py_DECREF(module);
    return found;
}

static z_stream *
compressor_of(Deflate *self)
{
    int bits = -self->ours;
    if (bits < 9 || bits > 15)
        return NULL;
    z_stream *stream = &compressors[bits].stream;
    if (compressors[bits].ready && compressors[bits].level == self->level)
        return zlib.deflateReset(stream) == Z_OK ? stream : NULL;
    if (compressors[bits].ready)
        zlib.deflateEnd(stream);
    memset(stream, 0, sizeof *stream);
    compressors[bits].level = self->level;
    compressors[bits].ready = zlib.deflateInit2_(stream, self->level, Z_DEFLATED, self->ours,
                                                 MEMORY_LEVEL, 0, zlib.version, sizeof *stream)
                              == Z_OK;
    return compressors[bits].ready ? stream : NULL;
}

Py_ssize_t
deflate_compress(Deflate *self, const char *data, Py_ssize_t size, char *to)
{
    if (self->keeps_context || size == 0 || size > SHORT_MESSAGE)
        return -1;
    z_stream *stream = compressor_of(self);
    if (stream == NULL)
        return -1;
    stream->next_in = (const unsigned char *)data;
    stream->avail_in = (unsigned)size;
    stream->next_out = (unsigned char *)to;
    stream->avail_out = SHORT_COMPRESSED;
    if (zlib.deflate(stream, Z_SYNC_FLUSH) != Z_OK || stream->avail_in || !stream->avail_out)
        return -1;
    return (char *)stream->next_out - to - TAIL_SIZE;
}

static int
inflate_more(const char *data, size_t size)
{
    inflater.next_in = (const unsigned char *)data;
    inflater.avail_in = (unsigned)size;
    return zlib.inflate(&inflater, Z_SYNC_FLUSH);
}

Py_ssize_t
deflate_inflate(Deflate *self, const char *data, Py_ssize_t size, const char *key,
                Py_ssize_t room, const char **message)
{
    if (self->begun || !self->alone || size == 0 || size > SHORT_MESSAGE || room < 0)
        return -1;
    if (inflater_ready)
        inflater_ready = zlib.inflateReset2(&inflater, self->theirs) == Z_OK;
    else
        inflater_ready = zlib.inflateInit2_(&inflater, self->theirs, zlib.version,
                                            sizeof inflater) == Z_OK;
    if (!inflater_ready)
        return -1;
    unmask_to(received, data, size, key);
    memcpy(received + size, TAIL, TAIL_SIZE);
    if (room > SHORT_INFLATED)
        room = SHORT_INFLATED;
    inflater.next_out = (unsigned char *)inflated;
    inflater.avail_out = (unsigned)room + 1;
    int status = inflate_more(received, size + TAIL_SIZE);
    char *end = (char *)inflater.next_out;
    if ((status != Z_OK && status != Z_BUF_ERROR) || end - inflated > room)
        return -1;
    /* Between two blocks that is the end, and nothing else. */
    if (inflate_more(FINAL_BLOCK, sizeof FINAL_BLOCK) != Z_STREAM_END || inflater.avail_in
        || (char *)inflater.next_out != end)
        return -1;
    *message = inflated;
    return end - inflated;
}

static PyObject *
deflate_compress_short(Deflate *self, PyObject *payload)
{
    char *data, compressed[SHORT_COMPRESSED];
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(payload, &data, &size) < 0)
        return NULL;
    size = deflate_compress(self, data, size, compressed);
    if (size < 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(compressed, size);
}

static PyObject *
deflate_inflate_short(Deflate *self, PyObject *const *args, Py_ssize_t count)
{
    char *data;
    const char *message;
    Py_ssize_t size, room;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "inflate_short(data, room)");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(args[0], &data, &size) < 0
        || ((room = PyLong_AsSsize_t(args[1])) == -1 && PyErr_Occurred()))
        return NULL;
    size = deflate_inflate(self, data, size, "\0\0\0", room, &message);
    if (size < 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(message, size);
}

static PyMethodDef deflate_methods[] = {
    {"compress_short", (PyCFunction)deflate_compress_short, METH_O, NULL},
    {"inflate_short", (PyCFunction)(void (*)(void))deflate_inflate_short, METH_FASTCALL, NULL},
    {NULL},
};

#define FLAG(name, field) {name, T_BOOL, offsetof(Deflate, field)}

static PyMemberDef deflate_members[] = {
    {"threshold", T_PYSSIZET, offsetof(Deflate, threshold)},
    {"level", T_INT, offsetof(Deflate, level)},
    {"_ours", T_INT, offsetof(Deflate, ours)},
    {"_theirs", T_INT, offsetof(Deflate, theirs)},
    FLAG("keeps_context", keeps_context),
    FLAG("_alone", alone),
    FLAG("_begun", begun),
    {NULL},
};

PyTypeObject Deflate_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Deflate",
    .tp_doc = "What dualws.protocol.deflate.Deflate does with short messages.",
    .tp_basicsize = sizeof(Deflate),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_methods = deflate_methods,
    .tp_members = deflate_members,
};
