/* The receiving half of dualws.hot.pure.Connection, compiled. */
#include "hot.h"

/* Messages parsed, and bytes inflated, before the handler gets its turn. */
#define MOST_AT_ONCE 256
#define INFLATE_TURN (256 * 1024)

int
connection_receives(PyObject *owner)
{
    return PyObject_TypeCheck(owner, &Connection_Type)
           && keeps_method(Py_TYPE(owner), &Connection_Type, "data_received");
}

static Stream *
stream_of(Connection *self)
{
    PyObject *stream = self->stream;
    if (stream == NULL || !PyObject_TypeCheck(stream, &Stream_Type))
        return NULL;
    return (Stream *)stream;
}

int
connection_in_frame(Connection *self)
{
    Stream *stream = stream_of(self);
    return stream != NULL && stream->left != 0;
}

/* The text of *size* masked bytes; NULL without an exception when it is not UTF-8. */
static PyObject *
unmask_text(const char *data, Py_ssize_t size, const char *key)
{
    if (size == 0)
        return PyUnicode_New(0, 0);
    PyObject *text = PyUnicode_New(size, 127);
    if (text == NULL)
        return NULL;
    char *to = (char *)PyUnicode_1BYTE_DATA(text);
    if (!(unmask_to(to, data, size, key) & 0x8080808080808080))
        return text;
    /* The error of what is no UTF-8 may have garbage collected, and whatever a finalizer does
     * may be to receive to where *data* lies. */
    int collects = PyGC_Disable();
    PyObject *decoded = PyUnicode_DecodeUTF8(to, size, "strict");
    if (collects)
        PyGC_Enable();
    /* What it holds now is not ASCII, which nobody is to see. */
    memset(to, 0, size);
    Py_DECREF(text);
    if (decoded == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return decoded;
}

static PyObject *
unmask_bytes(const char *data, Py_ssize_t size, const char *key)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
    if (bytes != NULL)
        unmask_to(PyBytes_AS_STRING(bytes), data, size, key);
    return bytes;
}

/* The message of a compressed frame, whose bytes are added to *inflated; NULL without an exception
 * when it is to be inflated with care. */
static PyObject *
inflate_message(Stream *stream, int opcode, const char *data, Py_ssize_t size, Py_ssize_t *inflated)
{
    const char *payload;
    if (stream->discarding || !PyObject_TypeCheck(stream->deflate, &Deflate_Type))
        return NULL;
    Py_ssize_t made = deflate_inflate((Deflate *)stream->deflate, data, size, data - 4,
                                      stream->max_size, &payload);
    if (made < 0)
        return NULL;
    *inflated += made;
    if (opcode == 2)
        return PyBytes_FromStringAndSize(payload, made);
    int collects = PyGC_Disable(); /* as in unmask_text() */
    PyObject *text = PyUnicode_DecodeUTF8(payload, made, "strict");
    if (collects)
        PyGC_Enable();
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return text;
}

/* Put the messages at the beginning of what was received into the inbox: those of one frame,
 * masked, complete, and short if they are compressed. Returns where something else begins; -1
 * with an exception. */
static Py_ssize_t
take_messages(Connection *self, Stream *stream, const char *data, Py_ssize_t size, int *taken,
              int *full)
{
    Py_ssize_t at = 0, inflated = 0;
    int count = 0;
    while (size - at >= 6) {
        const unsigned char *frame = (const unsigned char *)data + at;
        int opcode = frame[0] & 0xF, compressed = frame[0] & 0x40;
        if ((frame[0] & 0xBF) != (0x80 | opcode) || (opcode != 1 && opcode != 2)
            || frame[1] < 0x80)
            break;
        if (count == MOST_AT_ONCE || inflated >= INFLATE_TURN) {
            *full = 1;
            break;
        }
        uint64_t length = frame[1] & 0x7F;
        Py_ssize_t start = 6;
        if (length == 126) {
            length = (uint64_t)frame[2] << 8 | frame[3];
            start = 8;
            if (length < 126)
                break;
        }
        else if (length == 127) {
            if (size - at < 14)
                break;
            length = 0;
            for (int i = 2; i < 10; i++)
                length = length << 8 | frame[i];
            start = 14;
            if (length < 0x10000)
                break;
        }
        if (length > (uint64_t)stream->max_size
            || size - at < start || length > (uint64_t)(size - at - start))
            break;
        const char *payload = (const char *)frame + start;
        PyObject *message =
            compressed ? inflate_message(stream, opcode, payload, length, &inflated)
            : opcode == 1 ? unmask_text(payload, length, payload - 4)
                          : unmask_bytes(payload, length, payload - 4);
        if (message == NULL) {
            if (PyErr_Occurred())
                return -1;
            break; /* not UTF-8: the stream says so */
        }
        self->messages_in++;
        count++;
        at += start + length;
        if (!self->end) {
            self->inbox_bytes += opcode == 1 ? PyUnicode_GET_LENGTH(message)
                                                  : PyBytes_GET_SIZE(message);
            int status = PyList_Append(self->inbox, message);
            Py_DECREF(message);
            if (status < 0)
                return -1;
        }
        else
            Py_DECREF(message);
    }
    *taken = count;
    return at;
}

/* As data_received(), with the lock held; *ready* is what to call without it. */
static int
receive_locked(Connection *self, const char *data, Py_ssize_t size, PyObject *whole,
               PyObject **ready)
{
    Stream *stream = stream_of(self);
    Py_ssize_t at = 0;
    int full = 0, taken = 0;
    self->alive = 1;
    self->bytes_in += size;
    if (stream != NULL && stream->whole && stream->expect_masking && !stream->over
        && !stream->opcode && !stream->left && PyBytes_GET_SIZE(stream->buffer) == 0) {
        at = take_messages(self, stream, data, size, &taken, &full);
        if (at < 0)
            return -1;
    }
    if (full && !self->end) {
        /* As Stream.feed() at its limit: the handler goes on with the rest. */
        PyObject *rest = PyBytes_FromStringAndSize(data + at, size - at);
        if (rest == NULL)
            return -1;
        Py_SETREF(stream->buffer, rest);
        stream->pending = 1;
    }
    else if (at < size || size == 0) {
        PyObject *rest = whole != NULL && at == 0
                             ? Py_NewRef(whole)
                             : PyBytes_FromStringAndSize(data + at, size - at);
        if (rest == NULL)
            return -1;
        PyObject *found = PyObject_CallMethodOneArg((PyObject *)self, name__receive, rest);
        Py_DECREF(rest);
        if (found == NULL)
            return -1;
        *ready = found;
        return 0;
    }
    if (self->end)
        return 0;
    if (self->ready != Py_None) {
        *ready = self->ready;
        self->ready = Py_NewRef(Py_None);
    }
    if (full
        || ((*ready == NULL || taken > 1)
            && (PyList_GET_SIZE(self->inbox) >= self->most_messages
                || self->inbox_bytes > self->most_bytes))) {
        self->paused = 1;
        if (!has_transport(self))
            return -1;
        return call_method(self->transport, name_pause_reading, NULL);
    }
    return 0;
}

int
call_ready(PyObject *ready)
{
    int status = 0;
    if (Py_IS_TYPE(ready, &Receiver_Type))
        status = receiver_wake(ready);
    else if (switcher_switches(ready))
        status = switcher_wake(ready);
    else if (ready != Py_None) {
        PyObject *result = PyObject_CallNoArgs(ready);
        Py_XDECREF(result);
        status = result == NULL ? -1 : 0;
    }
    Py_DECREF(ready);
    return status;
}

int
connection_received(Connection *self, const char *data, Py_ssize_t size, PyObject *whole)
{
    PyObject *ready = NULL, *copy = NULL;
    if (!lock_try(self->lock)) {
        /* Others run until it is free, and may receive to where *data* lies. */
        if (whole == NULL) {
            whole = copy = PyBytes_FromStringAndSize(data, size);
            if (copy == NULL)
                return -1;
            data = PyBytes_AS_STRING(copy);
        }
        if (lock_acquire(self->lock) < 0) {
            Py_XDECREF(copy);
            return -1;
        }
    }
    int status = receive_locked(self, data, size, whole, &ready);
    Py_XDECREF(copy);
    if (lock_release(self->lock) < 0 || status < 0) {
        Py_XDECREF(ready);
        return -1;
    }
    return ready == NULL ? 0 : call_ready(ready);
}

/* -- for the handler ---------------------------------------------------------------- */

/* The first message of the inbox, which is not empty; with the lock held. */
static PyObject *
pop(Connection *self)
{
    PyObject *message = PyList_GET_ITEM(self->inbox, 0);
    if (PyList_GET_SIZE(self->inbox) == 1)
        Py_SET_SIZE(self->inbox, 0); /* its memory serves for the next one */
    else {
        Py_INCREF(message);
        if (PyList_SetSlice(self->inbox, 0, 1, NULL) < 0) {
            Py_DECREF(message);
            return NULL;
        }
    }
    if (PyUnicode_CheckExact(message))
        self->inbox_bytes -= PyUnicode_GET_LENGTH(message);
    else if (PyBytes_CheckExact(message))
        self->inbox_bytes -= PyBytes_GET_SIZE(message);
    if (self->paused) {
        if (call_method((PyObject *)self, name__make_room, NULL) < 0)
            Py_CLEAR(message);
    }
    return message;
}

/* What there is without waiting: a message, ENDED, or WAIT; with the lock held. */
static PyObject *
look(Connection *self)
{
    if (PyList_GET_SIZE(self->inbox) != 0)
        return pop(self);
    if (self->end)
        return call_method((PyObject *)self, name__answer_end, NULL) < 0 ? NULL : Py_NewRef(ENDED);
    if (self->batch != Py_None && connection_flush(self) == -2)
        return NULL;
    turn_ends();
    return Py_NewRef(WAIT);
}

PyObject *
connection_take(Connection *self, PyObject *ready)
{
    if (lock_acquire(self->lock) < 0)
        return NULL;
    PyObject *found = look(self);
    if (found == WAIT && self->ready != ready) {
        if (self->ready == Py_None)
            Py_SETREF(self->ready, Py_NewRef(ready));
        else if (ready != Py_None && call_method((PyObject *)self, name__refuse_second, NULL) < 0)
            Py_CLEAR(found);
    }
    if (lock_release(self->lock) < 0)
        Py_CLEAR(found);
    return found;
}

static PyObject *
connection_take_method(Connection *self, PyObject *ready)
{
    return connection_take(self, ready);
}

/* The waiter of code that may block; a borrowed reference. */
static PyObject *
waiter_of(Connection *self)
{
    if (self->waiter == Py_None) {
        PyObject *made = PyObject_CallMethodNoArgs((PyObject *)self, name__waiter_for);
        if (made == NULL)
            return NULL;
        Py_SETREF(self->waiter, made);
    }
    return self->waiter;
}

/* Wait until somebody has called *ready*; 1 when that was in time, -1 with an exception set. */
static int
wait_with(PyObject *waiter, PyObject *timeout)
{
    PyObject *woken = switcher_switches(waiter) ? switcher_wait(waiter, timeout)
                      : timeout == Py_None
                          ? PyObject_CallMethodNoArgs(waiter, name_wait)
                          : PyObject_CallMethodOneArg(waiter, name_wait, timeout);
    if (woken == NULL)
        return -1;
    int is_woken = PyObject_IsTrue(woken);
    Py_DECREF(woken);
    return is_woken;
}

static PyObject *
receive(Connection *self, PyObject *timeout)
{
    for (;;) {
        if (lock_acquire(self->lock) < 0)
            return NULL;
        PyObject *found = look(self), *waiter = NULL;
        if (found == WAIT) {
            PyObject *wake = NULL;
            if (self->ready == Py_None && (waiter = waiter_of(self)) != NULL)
                wake = switcher_switches(waiter) ? Py_NewRef(waiter)
                                                 : PyObject_GetAttr(waiter, name_wake);
            else if (self->ready != Py_None)
                (void)call_method((PyObject *)self, name__refuse_second, NULL);
            if (wake == NULL)
                Py_CLEAR(found);
            else {
                Py_INCREF(waiter);
                Py_SETREF(self->ready, wake);
            }
        }
        if (lock_release(self->lock) < 0)
            Py_CLEAR(found);
        if (found != WAIT) {
            if (found == ENDED) {
                Py_DECREF(found);
                Py_RETURN_NONE;
            }
            return found;
        }
        Py_DECREF(found);
        int woken = wait_with(waiter, timeout);
        Py_DECREF(waiter);
        if (woken < 0) { /* killed while it waited */
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            if (call_method((PyObject *)self, name__wait_broke, NULL) < 0)
                PyErr_Clear();
            PyErr_Restore(type, value, traceback);
            return NULL;
        }
        if (!woken && call_method((PyObject *)self, name__not_woken, timeout) < 0)
            return NULL;
    }
}

static PyObject *
connection_receive(Connection *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (count + named > 1
        || (named != 0
            && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") != 0)) {
        PyErr_SetString(PyExc_TypeError, "receive(timeout=None)");
        return NULL;
    }
    return receive(self, count + named == 0 ? Py_None : args[0]);
}

static PyObject *
connection_data_received(Connection *self, PyObject *data)
{
    PyObject *bytes = PyBytes_CheckExact(data) ? Py_NewRef(data) : PyBytes_FromObject(data);
    if (bytes == NULL)
        return NULL;
    int status =
        connection_received(self, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes), bytes);
    Py_DECREF(bytes);
    if (status < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyMethodDef receiving_methods[] = {
    {"data_received", (PyCFunction)connection_data_received, METH_O, NULL},
    {"take", (PyCFunction)connection_take_method, METH_O, NULL},
    {"receive", (PyCFunction)(void (*)(void))connection_receive, METH_FASTCALL | METH_KEYWORDS,
     NULL},
    {NULL},
};
