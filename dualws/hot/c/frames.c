/* Masking (RFC 6455 section 5.3) and frame headers (section 5.2); the stream's state. */
#include "hot.h"

uint64_t
unmask_to(char *restrict to, const char *restrict from, Py_ssize_t size, const char *key)
{
    uint32_t key4;
    memcpy(&key4, key, 4);
    const uint64_t key8 = ((uint64_t)key4 << 32) | key4;
    uint64_t seen = 0, piece;
    Py_ssize_t at = 0;
    for (; at + 8 <= size; at += 8) {
        memcpy(&piece, from + at, 8);
        piece ^= key8;
        seen |= piece;
        memcpy(to + at, &piece, 8);
    }
    for (; at < size; at++) {
        unsigned char byte = (unsigned char)(from[at] ^ key[at & 3]);
        seen |= byte;
        to[at] = (char)byte;
    }
    return seen;
}

int
frame_header(char *head, int opcode, uint64_t size)
{
    int bytes = size < 126 ? 0 : size < 0x10000 ? 2 : 8;
    head[0] = (char)(0x80 | opcode);
    head[1] = (char)(bytes == 0 ? size : bytes == 2 ? 126 : 127);
    for (int i = 0; i < bytes; i++)
        head[2 + i] = (char)(size >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

static PyObject *
stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Stream *self = (Stream *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->buffer = PyBytes_FromStringAndSize(NULL, 0);
        self->deflate = Py_NewRef(Py_None);
    }
    return (PyObject *)self;
}

#define STREAM_OBJECTS(X) X(buffer) X(deflate)
COLLECTED(Stream, stream, STREAM_OBJECTS)

static PyMemberDef stream_members[] = {
    {"_buffer", T_OBJECT_EX, offsetof(Stream, buffer)},
    {"_deflate", T_OBJECT_EX, offsetof(Stream, deflate)},
    {"_left", T_PYSSIZET, offsetof(Stream, left)},
    {"max_size", T_PYSSIZET, offsetof(Stream, max_size)},
    {"_opcode", T_INT, offsetof(Stream, opcode)},
    {"_over", T_BOOL, offsetof(Stream, over)},
    {"pending", T_BOOL, offsetof(Stream, pending)},
    {"expect_masking", T_BOOL, offsetof(Stream, expect_masking)},
    {"whole", T_BOOL, offsetof(Stream, whole)},
    {"discarding", T_BOOL, offsetof(Stream, discarding)},
    {NULL},
};

PyTypeObject Stream_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Stream",
    .tp_doc = "The state of dualws.protocol.stream.Stream that is looked at for each message.",
    .tp_basicsize = sizeof(Stream),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = stream_new,
    .tp_traverse = (traverseproc)stream_traverse,
    .tp_clear = (inquiry)stream_clear,
    .tp_dealloc = (destructor)stream_dealloc,
    .tp_members = stream_members,
};
