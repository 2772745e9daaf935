/* A socket's bytes: dualws.hot.pure.Transport, compiled. */
#include "hot.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Reads in a row that bring little before less is taken at a time again. */
#define SMALL_READS 16
/* Frames up to this size are copied behind their header; of larger ones both go out apart. */
#define COPIED 4096
/* From here on other threads may run while the system copies. */
#define LONG (64 * 1024)

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* What is received lies here until it is parsed, which is before anything else can run. */
static char received[READ_SIZE_LARGE];

/* How often the system was asked to receive or to send: tests look at it. */
unsigned long long system_calls;

static PyObject *
transport_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Transport *self = (Transport *)new_object(type);
    if (self == NULL)
        return NULL;
    self->account = Py_NewRef(Py_None);
    self->after_read = Py_NewRef(Py_None);
    self->buffer = PyByteArray_FromStringAndSize(NULL, 0);
    self->early = PyBytes_FromStringAndSize(NULL, 0);
    self->read_size = READ_SIZE;
    self->descriptor = -1;
    self->paused = 1;
    if (self->buffer == NULL || self->early == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

#define TRANSPORT_OBJECTS(X) X(sock) X(owner) X(lock) X(early) X(buffer) X(account) \
    X(after_read)
COLLECTED(Transport, transport, TRANSPORT_OBJECTS)

/* The OSError of errno; a new reference. */
static PyObject *
system_error(void)
{
    PyErr_SetFromErrno(PyExc_OSError);
    return take_error();
}

/* -- reading ---------------------------------------------------------------------- */

static void
adapt(Transport *self, Py_ssize_t size)
{
    if (size >= READ_SIZE) {
        self->read_size = READ_SIZE_LARGE;
        self->small_reads = 0;
    }
    else if (self->read_size != READ_SIZE && ++self->small_reads == SMALL_READS)
        self->read_size = READ_SIZE;
}

static PyObject *
transport_adapt(Transport *self, PyObject *size)
{
    Py_ssize_t bytes = PyLong_AsSsize_t(size);
    if (bytes == -1 && PyErr_Occurred())
        return NULL;
    adapt(self, bytes);
    Py_RETURN_NONE;
}

static int
deliver(Transport *self, Py_ssize_t size, PyObject *whole)
{
    adapt(self, size);
    if (self->discarding)
        return 0;
    PyObject *owner = Py_NewRef(self->owner);
    int status;
    if (self->owned)
        status = connection_received((Connection *)owner,
                                     whole == NULL ? received : PyBytes_AS_STRING(whole), size,
                                     whole);
    else {
        PyObject *data =
            whole == NULL ? PyBytes_FromStringAndSize(received, size) : Py_NewRef(whole);
        status = data == NULL ? -1 : call_method(owner, name_data_received, data);
        Py_XDECREF(data);
    }
    Py_DECREF(owner);
    return status;
}

/* Receive once, and hand it over: how much; 0 at the peer's end; -1 when the system says so, for
 * the reason in *error; -2 with an exception set. */
static Py_ssize_t
receive_once(Transport *self, int *error)
{
    if (self->owner_type != Py_TYPE(self->owner)) {
        self->owner_type = Py_TYPE(self->owner);
        self->owned = connection_receives(self->owner);
    }
    Py_ssize_t size = self->read_size <= READ_SIZE_LARGE ? self->read_size : READ_SIZE_LARGE;
    PyObject *whole = NULL;
    if (self->owned && connection_in_frame((Connection *)self->owner)) {
        /* It stays in pieces, and what Python is to see is not copied once more. */
        whole = PyBytes_FromStringAndSize(NULL, size);
        if (whole == NULL)
            return -2;
    }
    system_calls++;
    Py_ssize_t count =
        recv(self->descriptor, whole == NULL ? received : PyBytes_AS_STRING(whole), size,
             MSG_DONTWAIT);
    *error = errno;
    if (count > 0) {
        if (whole != NULL && count < size && _PyBytes_Resize(&whole, count) < 0)
            return -2;
        if (deliver(self, count, whole) < 0)
            count = -2;
    }
    Py_XDECREF(whole);
    return count;
}

static int
is_nothing(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int
read_once(Transport *self)
{
    int error;
    if (self->descriptor < 0 || self->closed)
        return 0;
    Py_ssize_t count = receive_once(self, &error);
    if (count == -2)
        return -1;
    if (count > 0 || (count < 0 && is_nothing(error)))
        return 0;
    if (self->discarding)
        return call_method((PyObject *)self, name__lost, Py_None);
    if (count < 0) {
        errno = error;
        PyObject *reason = system_error();
        int status = call_method((PyObject *)self, name__lost, reason);
        Py_XDECREF(reason);
        return status;
    }
    self->eof = 1;
    if (call_method((PyObject *)self, name__watch_reading, Py_False) < 0)
        return -1;
    return call_method(self->owner, name_eof_received, NULL);
}

static PyObject *
transport_take_in(Transport *self, PyObject *unused)
{
    int error;
    if (self->descriptor < 0)
        Py_RETURN_FALSE;
    Py_ssize_t count = receive_once(self, &error);
    if (count >= 0)
        return PyBool_FromLong(count > 0);
    if (count == -2)
        return NULL;
    if (is_nothing(error))
        Py_RETURN_NONE;
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *
transport_on_readable(Transport *self, PyObject *unused)
{
    Py_INCREF(self);
    int status = read_once(self);
    if (status == 0 && self->after_read != Py_None) {
        PyObject *after_read = Py_NewRef(self->after_read);
        PyObject *result = PyObject_CallNoArgs(after_read);
        Py_DECREF(after_read);
        Py_XDECREF(result);
        status = result == NULL ? -1 : 0;
    }
    if (status < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyObject *error = take_error();
        status = call_method((PyObject *)self, name__broken, error);
        Py_XDECREF(error);
    }
    Py_DECREF(self);
    if (status < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* -- writing ---------------------------------------------------------------------- */

int
transport_writes(PyObject *object)
{
    if (!PyObject_TypeCheck(object, &Transport_Type))
        return 0;
    Transport *self = (Transport *)object;
    if (self->replaced == UNKNOWN)
        self->replaced = keeps_method(Py_TYPE(self), &Transport_Type, "write") ? NO : YES;
    return self->replaced == NO;
}

static ssize_t
send_both(int descriptor, const char *head, Py_ssize_t head_size, const char *body,
          Py_ssize_t body_size)
{
    char small[COPIED + 16];
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    system_calls++;
    if (head_size == 0 || body_size <= COPIED) {
        const char *data = body;
        if (head_size != 0) {
            memcpy(small, head, head_size);
            memcpy(small + head_size, body, body_size);
            data = small;
        }
        Py_ssize_t size = head_size + body_size;
        if (size < LONG)
            return send(descriptor, data, size, flags);
        ssize_t sent;
        Py_BEGIN_ALLOW_THREADS
        sent = send(descriptor, data, size, flags);
        Py_END_ALLOW_THREADS
        return sent;
    }
    struct iovec parts[2] = {{(void *)head, head_size}, {(void *)body, body_size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (body_size < LONG)
        return sendmsg(descriptor, &message, flags);
    ssize_t sent;
    Py_BEGIN_ALLOW_THREADS
    sent = sendmsg(descriptor, &message, flags);
    Py_END_ALLOW_THREADS
    return sent;
}

/* Put bytes behind what waits for the peer. */
static int
keep(Transport *self, const char *data, Py_ssize_t size)
{
    Py_ssize_t before = PyByteArray_GET_SIZE(self->buffer);
    if (size == 0)
        return 0;
    if (PyByteArray_Resize(self->buffer, before + size) < 0)
        return -1;
    memcpy(PyByteArray_AS_STRING(self->buffer) + before, data, size);
    return 0;
}

static int
count_waiting(Transport *self, Py_ssize_t size)
{
    if (self->account == Py_None)
        return 0;
    PyObject *number = PyLong_FromSsize_t(size);
    int status = number == NULL ? -1 : call_method(self->account, name_add, number);
    Py_XDECREF(number);
    return status;
}

static Py_ssize_t
write_locked(Transport *self, const char *head, Py_ssize_t head_size, const char *body,
             Py_ssize_t body_size, int *begin)
{
    if (self->failed)
        return -1;
    if (self->closed || self->closing || self->descriptor < 0)
        return 0;
    Py_ssize_t size = head_size + body_size, sent = 0;
    if (PyByteArray_GET_SIZE(self->buffer) == 0) {
        sent = send_both(self->descriptor, head, head_size, body, body_size);
        if (sent == size)
            return 0;
        if (sent < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
                PyObject *error = system_error();
                self->failed = 1;
                int status = call_method((PyObject *)self, name__fails, error);
                Py_XDECREF(error);
                return status < 0 ? -2 : -1;
            }
            sent = 0;
        }
        *begin = 1;
    }
    if (sent < head_size) {
        if (keep(self, head + sent, head_size - sent) < 0)
            return -2;
        sent = head_size;
    }
    if (keep(self, body + (sent - head_size), size - sent) < 0)
        return -2;
    Py_ssize_t waiting = PyByteArray_GET_SIZE(self->buffer);
    if (count_waiting(self, *begin ? waiting : size) < 0)
        return -2;
    return waiting;
}

Py_ssize_t
transport_write(Transport *self, const char *head, Py_ssize_t head_size, const char *body,
                Py_ssize_t body_size)
{
    int begin = 0;
    if (lock_acquire(self->lock) < 0)
        return -2;
    Py_ssize_t waiting = write_locked(self, head, head_size, body, body_size, &begin);
    if (lock_release(self->lock) < 0)
        return -2;
    if (begin && waiting >= 0) {
        PyObject *start = PyObject_GetAttr((PyObject *)self, name__start_writing);
        int status = start == NULL ? -1 : call_method((PyObject *)self, name__call_soon, start);
        Py_XDECREF(start);
        if (status < 0)
            return -2;
    }
    return waiting;
}

static PyObject *
transport_write_method(Transport *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    Py_ssize_t waiting = transport_write(self, "", 0, view.buf, view.len);
    PyBuffer_Release(&view);
    return waiting == -2 ? NULL : PyLong_FromSsize_t(waiting);
}

static PyObject *
transport_buffered(Transport *self, void *unused)
{
    return PyLong_FromSsize_t(PyByteArray_GET_SIZE(self->buffer));
}

static PyMethodDef transport_methods[] = {
    {"_on_readable", (PyCFunction)transport_on_readable, METH_NOARGS, NULL},
    {"take_in", (PyCFunction)transport_take_in, METH_NOARGS, NULL},
    {"adapt", (PyCFunction)transport_adapt, METH_O, NULL},
    {"write", (PyCFunction)transport_write_method, METH_O, NULL},
    {NULL},
};

static PyGetSetDef transport_getset[] = {
    {"buffered", (getter)transport_buffered, NULL, NULL},
    {NULL},
};

#define FLAG(name, field) {name, T_BOOL, offsetof(Transport, field)}
#define OBJECT(name, field) {name, T_OBJECT_EX, offsetof(Transport, field)}

static PyMemberDef transport_members[] = {
    OBJECT("_sock", sock),
    OBJECT("_owner", owner),
    OBJECT("_lock", lock),
    OBJECT("_early", early),
    {"_buffer", T_OBJECT_EX, offsetof(Transport, buffer), READONLY},
    OBJECT("account", account),
    OBJECT("_after_read", after_read),
    {"read_size", T_PYSSIZET, offsetof(Transport, read_size)},
    {"_small_reads", T_INT, offsetof(Transport, small_reads)},
    {"descriptor", T_INT, offsetof(Transport, descriptor)},
    FLAG("_paused", paused),
    FLAG("_eof", eof),
    FLAG("_closing", closing),
    FLAG("_discarding", discarding),
    FLAG("_closed", closed),
    FLAG("_failed", failed),
    {NULL},
};

PyTypeObject Transport_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Transport",
    .tp_doc = "The reading and writing of dualws.transport.SocketTransport.",
    .tp_basicsize = sizeof(Transport),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = transport_new,
    .tp_traverse = (traverseproc)transport_traverse,
    .tp_clear = (inquiry)transport_clear,
    .tp_dealloc = (destructor)transport_dealloc,
    .tp_methods = transport_methods,
    .tp_getset = transport_getset,
    .tp_members = transport_members,
};
