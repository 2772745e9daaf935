/* The state of one websocket, and its sending half: dualws.hot.pure.Connection, compiled. */
#include "hot.h"

/* Bytes that are kept to go out together, at most. */
#define BATCH (64 * 1024)

static PyObject *
connection_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Connection *self = (Connection *)new_object(type);
    if (self == NULL)
        return NULL;
    self->ready = Py_NewRef(Py_None);
    self->waiter = Py_NewRef(Py_None);
    self->batch = Py_NewRef(Py_None);
    self->turn = Py_NewRef(Py_None);
    self->deflate = Py_NewRef(Py_None);
    self->inbox = PyList_New(0);
    self->alive = self->plain = 1;
    if (self->inbox == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

#define CONNECTION_OBJECTS(X) X(server) X(lock) X(transport) X(stream) X(inbox) X(ready) \
    X(waiter) X(batch) X(turn) X(deflate)
COLLECTED(Connection, connection, CONNECTION_OBJECTS)

/* Whether open() was called; 0 with an exception set. */
int
has_transport(Connection *self)
{
    if (self->transport == NULL)
        PyErr_SetString(PyExc_AttributeError, "_transport");
    return self->transport != NULL;
}

/* Bytes to the transport, with the lock held; as Transport.write(), -2 with an exception set. */
static Py_ssize_t
to_transport(Connection *self, const char *head, Py_ssize_t head_size, const char *body,
             Py_ssize_t body_size)
{
    Py_ssize_t waiting;
    if (!has_transport(self))
        return -2;
    if (transport_writes(self->transport))
        waiting = transport_write((Transport *)self->transport, head, head_size, body, body_size);
    else {
        PyObject *frame = PyBytes_FromStringAndSize(NULL, head_size + body_size);
        if (frame == NULL)
            return -2;
        memcpy(PyBytes_AS_STRING(frame), head, head_size);
        memcpy(PyBytes_AS_STRING(frame) + head_size, body, body_size);
        PyObject *result = PyObject_CallMethodOneArg(self->transport, name_write, frame);
        Py_DECREF(frame);
        if (result == NULL)
            return -2;
        waiting = PyLong_AsSsize_t(result);
        Py_DECREF(result);
        if (waiting == -1 && PyErr_Occurred())
            return -2;
    }
    if (waiting != -2)
        self->waiting = waiting;
    return waiting;
}

Py_ssize_t
connection_flush(Connection *self)
{
    PyObject *batch = self->batch;
    if (batch == Py_None)
        return self->waiting;
    self->batch = Py_NewRef(Py_None);
    Py_ssize_t waiting =
        to_transport(self, "", 0, PyByteArray_AS_STRING(batch), PyByteArray_GET_SIZE(batch));
    Py_DECREF(batch);
    return waiting;
}

static int
append(Connection *self, const char *head, Py_ssize_t head_size, const char *body,
       Py_ssize_t body_size)
{
    if (self->batch == Py_None) {
        PyObject *batch = PyByteArray_FromStringAndSize(NULL, 0);
        if (batch == NULL)
            return -1;
        Py_SETREF(self->batch, batch);
        PyObject *flusher = PyObject_GetAttr(self->server, name_flusher);
        PyObject *result =
            flusher == NULL ? NULL
                            : PyObject_CallMethodOneArg(flusher, name_add, (PyObject *)self);
        Py_XDECREF(flusher);
        if (result == NULL)
            return -1;
        Py_DECREF(result);
    }
    Py_ssize_t before = PyByteArray_GET_SIZE(self->batch);
    if (PyByteArray_Resize(self->batch, before + head_size + body_size) < 0)
        return -1;
    char *end = PyByteArray_AS_STRING(self->batch) + before;
    memcpy(end, head, head_size);
    memcpy(end + head_size, body, body_size);
    return 0;
}

/* Send a frame, or keep it to go out with the next; with the lock held. As to_transport(). */
static Py_ssize_t
put(Connection *self, const char *head, Py_ssize_t head_size, const char *body,
    Py_ssize_t body_size)
{
    self->messages_out++;
    self->bytes_out += head_size + body_size;
    int last = PyList_GET_SIZE(self->inbox) == 0;
    if (last && self->batch == Py_None)
        return to_transport(self, head, head_size, body, body_size);
    if (last && body_size >= BATCH) {
        Py_ssize_t waiting = connection_flush(self);
        return waiting == -2 ? -2 : to_transport(self, head, head_size, body, body_size);
    }
    if (append(self, head, head_size, body, body_size) < 0)
        return -2;
    Py_ssize_t kept = PyByteArray_GET_SIZE(self->batch);
    if (last || kept >= BATCH || kept > self->limit)
        return connection_flush(self);
    return self->waiting;
}

static void
raise_closed(Connection *self)
{
    PyObject *error = PyObject_CallMethodNoArgs((PyObject *)self, name_closed_error);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
}

/* send_message(data): None when it must go the long way, else whether there is room. */
static PyObject *
connection_send_message(Connection *self, PyObject *data)
{
    const char *body;
    Py_ssize_t size;
    int opcode;
    Deflate *deflate = NULL;
    if (!self->plain || self->behind || self->turn != Py_None || turn_is_due())
        Py_RETURN_NONE;
    if (self->deflate != Py_None) {
        deflate = (Deflate *)self->deflate;
        if (!PyObject_TypeCheck(self->deflate, &Deflate_Type) || deflate->keeps_context)
            Py_RETURN_NONE;
    }
    if (PyUnicode_CheckExact(data)) {
        if (PyUnicode_IS_COMPACT_ASCII(data)) {
            body = (const char *)PyUnicode_1BYTE_DATA(data);
            size = PyUnicode_GET_LENGTH(data);
        }
        else {
            body = PyUnicode_AsUTF8AndSize(data, &size);
            if (body == NULL)
                return NULL;
        }
        opcode = 1;
    }
    else if (PyBytes_CheckExact(data)) {
        body = PyBytes_AS_STRING(data);
        size = PyBytes_GET_SIZE(data);
        opcode = 2;
    }
    else
        Py_RETURN_NONE;
    turn_counts(deflate == NULL ? 0 : size);
    char head[10], compressed[SHORT_COMPRESSED];
    int is_compressed = 0;
    if (deflate != NULL && size >= deflate->threshold) {
        Py_ssize_t less = deflate_compress(deflate, body, size, compressed);
        if (less < 0)
            Py_RETURN_NONE;
        if (less < size) {
            is_compressed = 1;
            body = compressed;
            size = less;
        }
    }
    int head_size = frame_header(head, opcode, size);
    if (is_compressed)
        head[0] |= 0x40; /* RSV1 */
    if (lock_acquire(self->lock) < 0)
        return NULL;
    Py_ssize_t waiting = 0;
    int way = 0;
    if (self->close_sent || self->lost) {
        raise_closed(self);
        way = -1;
    }
    else if (self->turn != Py_None)
        way = 1; /* another thread has begun a message in fragments */
    else {
        waiting = put(self, head, head_size, body, size);
        if (waiting == -2)
            way = -1;
        else if (waiting < 0) {
            /* The loop does not know yet, and a handler that does nothing but send keeps it
             * busy. */
            self->lost = 1;
            raise_closed(self);
            way = -1;
        }
    }
    if (lock_release(self->lock) < 0 || way < 0)
        return NULL;
    if (way > 0)
        Py_RETURN_NONE;
    return PyBool_FromLong(waiting <= self->limit);
}

/* Send a frame without waiting; 1 when it was sent, 0 when not, -1 with an exception set. */
static int
send_nowait(Connection *self, PyObject *frame)
{
    if (PyBytes_CheckExact(frame)) {
        if (lock_acquire(self->lock) < 0)
            return -1;
        int way = 2;
        if (self->close_sent || self->lost)
            way = 0;
        else if (self->waiting == 0 && self->turn == Py_None) {
            Py_ssize_t waiting =
                put(self, "", 0, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame));
            if (waiting == -1)
                self->lost = 1;
            way = waiting == -2 ? -1 : waiting != -1;
        }
        if (lock_release(self->lock) < 0)
            return -1;
        if (way != 2)
            return way;
    }
    PyObject *result = PyObject_CallMethodOneArg((PyObject *)self, name__send_nowait, frame);
    if (result == NULL)
        return -1;
    int sent = PyObject_IsTrue(result);
    Py_DECREF(result);
    return sent;
}

static PyObject *
connection_send_nowait(Connection *self, PyObject *frame)
{
    int sent = send_nowait(self, frame);
    return sent < 0 ? NULL : PyBool_FromLong(sent);
}

/* fan_out(connections, message): send it to each; to how many it was sent. */
PyObject *
hot_fan_out(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "fan_out(connections: tuple, message: Broadcast)");
        return NULL;
    }
    PyObject *plain = PyObject_GetAttr(args[1], name_plain);
    if (plain == NULL)
        return NULL;
    Py_ssize_t sent = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[0]); i++) {
        PyObject *item = PyTuple_GET_ITEM(args[0], i);
        if (PyObject_TypeCheck(item, &Connection_Type) && ((Connection *)item)->plain
            && ((Connection *)item)->deflate == Py_None) {
            int status = send_nowait((Connection *)item, plain);
            if (status < 0)
                goto failed;
            sent += status;
            continue;
        }
        PyObject *deflate = PyObject_GetAttr(item, name_deflate);
        PyObject *frame =
            deflate == NULL ? NULL : PyObject_CallMethodOneArg(args[1], name_frame_for, deflate);
        PyObject *result =
            frame == NULL ? NULL : PyObject_CallMethodOneArg(item, name_send_nowait, frame);
        Py_XDECREF(deflate);
        Py_XDECREF(frame);
        if (result == NULL)
            goto failed;
        int is_sent = PyObject_IsTrue(result);
        Py_DECREF(result);
        if (is_sent < 0)
            goto failed;
        sent += is_sent;
    }
    Py_DECREF(plain);
    return PyLong_FromSsize_t(sent);
failed:
    Py_DECREF(plain);
    return NULL;
}

static PyObject *
connection_flush_method(Connection *self, PyObject *unused)
{
    Py_ssize_t waiting = connection_flush(self);
    return waiting == -2 ? NULL : PyLong_FromSsize_t(waiting);
}

/* _put(frame): send a frame, with the lock held; as Transport.write(). */
static PyObject *
connection_put(Connection *self, PyObject *frame)
{
    if (!PyBytes_Check(frame)) {
        PyErr_SetString(PyExc_TypeError, "a frame is bytes");
        return NULL;
    }
    Py_ssize_t waiting = put(self, "", 0, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame));
    return waiting == -2 ? NULL : PyLong_FromSsize_t(waiting);
}

static PyMethodDef sending_methods[] = {
    {"send_message", (PyCFunction)connection_send_message, METH_O, NULL},
    {"send_nowait", (PyCFunction)connection_send_nowait, METH_O, NULL},
    {"_put", (PyCFunction)connection_put, METH_O, NULL},
    {"_flush", (PyCFunction)connection_flush_method, METH_NOARGS, NULL},
    {NULL},
};

#define FLAG(name, field) {name, T_BOOL, offsetof(Connection, field)}
#define OBJECT(name, field) {name, T_OBJECT_EX, offsetof(Connection, field)}
#define SIZE(name, field) {name, T_PYSSIZET, offsetof(Connection, field)}
#define COUNT(name, field) {name, T_ULONGLONG, offsetof(Connection, field)}

static PyMemberDef connection_members[] = {
    OBJECT("server", server),
    OBJECT("_lock", lock),
    OBJECT("_transport", transport),
    OBJECT("_stream", stream),
    {"_inbox", T_OBJECT_EX, offsetof(Connection, inbox), READONLY},
    OBJECT("_ready", ready),
    OBJECT("_waiter", waiter),
    OBJECT("_batch", batch),
    OBJECT("_turn", turn),
    OBJECT("deflate", deflate),
    SIZE("_inbox_bytes", inbox_bytes),
    SIZE("_most_bytes", most_bytes),
    SIZE("_most_messages", most_messages),
    SIZE("_limit", limit),
    SIZE("_waiting", waiting),
    COUNT("messages_in", messages_in),
    COUNT("messages_out", messages_out),
    COUNT("bytes_in", bytes_in),
    COUNT("bytes_out", bytes_out),
    FLAG("_alive", alive),
    FLAG("_paused", paused),
    FLAG("_end", end),
    FLAG("_close_sent", close_sent),
    FLAG("_lost", lost),
    FLAG("behind", behind),
    FLAG("_plain", plain),
    {NULL},
};

extern PyMethodDef receiving_methods[];
static PyMethodDef connection_methods[16];

/* Both halves' methods are of one type. */
void
join_methods(void)
{
    PyMethodDef *to = connection_methods;
    for (PyMethodDef *from = sending_methods; from->ml_name != NULL; from++)
        *to++ = *from;
    for (PyMethodDef *from = receiving_methods; from->ml_name != NULL; from++)
        *to++ = *from;
}

PyTypeObject Connection_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Connection",
    .tp_doc = "What dualws.connection.Connection does for each message.",
    .tp_basicsize = sizeof(Connection),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = connection_new,
    .tp_traverse = (traverseproc)connection_traverse,
    .tp_clear = (inquiry)connection_clear,
    .tp_dealloc = (destructor)connection_dealloc,
    .tp_methods = connection_methods,
    .tp_members = connection_members,
};
