/* What a coroutine awaits for a message: dualws.hot.pure.receiver, compiled. */
#include "hot.h"

typedef struct {
    PyObject_HEAD
    PyObject *loop;
    PyObject *connection;
    PyObject *callback;
    PyObject *context;
    PyObject *cancelled; /* the message of cancel(), None without; NULL when it was not called */
    unsigned long thread;
    char blocking; /* _asyncio_future_blocking */
    char waits;    /* a task was given this to wait for, and has not gone on */
    char woken;    /* called before there was a callback */
    char direct;   /* whether connection_take() is what the connection's take() does */
} Receiver;

static PyObject *
receiver_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "connection", NULL};
    PyObject *loop, *connection;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:Receiver", names, &loop, &connection))
        return NULL;
    Receiver *self = (Receiver *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->loop = Py_NewRef(loop);
    self->connection = Py_NewRef(connection);
    self->thread = PyThread_get_thread_ident();
    self->direct = PyObject_TypeCheck(connection, &Connection_Type)
                   && keeps_method(Py_TYPE(connection), &Connection_Type, "take");
    return (PyObject *)self;
}

#define RECEIVER_OBJECTS(X) X(loop) X(connection) X(callback) X(context) X(cancelled)
COLLECTED(Receiver, receiver, RECEIVER_OBJECTS)

/* -- waking --------------------------------------------------------------------- */

static int
call_soon(Receiver *self, PyObject *function, PyObject *argument, PyObject *context)
{
    PyObject *method = PyObject_GetAttr(self->loop, name_call_soon);
    if (method == NULL)
        return -1;
    PyObject *args = PyTuple_Pack(2, function, argument);
    PyObject *options = PyDict_New();
    PyObject *result = NULL;
    if (args != NULL && options != NULL
        && (context == NULL || PyDict_SetItem(options, name_context, context) == 0))
        result = PyObject_Call(method, args, options);
    Py_DECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(options);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

/* In the loop's thread: let the task go on now. */
static int
go_on(Receiver *self)
{
    PyObject *callback = self->callback;
    if (callback == NULL) {
        self->woken = 1;
        return 0;
    }
    self->callback = NULL;
    PyObject *context = self->context;
    self->context = NULL;
    Py_INCREF(self);
    PyObject *result = NULL;
    if (PyContext_Enter(context) == 0) {
        result = PyObject_CallOneArg(callback, (PyObject *)self);
        if (result == NULL) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            if (PyContext_Exit(context) < 0)
                PyErr_Clear();
            PyErr_Restore(type, value, traceback);
        }
        else if (PyContext_Exit(context) < 0)
            Py_CLEAR(result);
    }
    int status = 0;
    if (result != NULL)
        Py_DECREF(result);
    else if (PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        /* asyncio, or the context, refuses to enter: what runs now is another task, which
         * closes the websocket, or a callback that was given the task's own context. */
        PyErr_Clear();
        status = call_soon(self, callback, (PyObject *)self, context);
    }
    else if (PyErr_ExceptionMatches(PyExc_SystemExit)
             || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        /* They end the loop, and leave nothing half done where the message came from. */
        PyObject *error = take_error();
        status = call_soon(self, raise_later, error, NULL);
        Py_XDECREF(error);
    }
    else
        status = -1;
    Py_DECREF(callback);
    Py_XDECREF(context);
    Py_DECREF(self);
    return status;
}

int
receiver_wake(PyObject *object)
{
    Receiver *self = (Receiver *)object;
    if (PyThread_get_thread_ident() == self->thread)
        return go_on(self);
    PyObject *method = PyObject_GetAttr(object, name__go_on);
    if (method == NULL)
        return -1;
    PyObject *result = PyObject_CallFunctionObjArgs(call_from_outside, self->loop, method, NULL);
    Py_DECREF(method);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

static PyObject *
receiver_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (receiver_wake(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
receiver_go_on(Receiver *self, PyObject *unused)
{
    if (go_on(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* -- what asyncio's tasks ask a future for ---------------------------------------- */

static PyObject *
receiver_get_loop(Receiver *self, PyObject *unused)
{
    return Py_NewRef(self->loop);
}

static PyObject *
receiver_add_done_callback(Receiver *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names)
{
    PyObject *context = NULL;
    if (names != NULL && PyTuple_GET_SIZE(names) == 1)
        context = args[count];
    if (count != 1 || (names != NULL && context == NULL)) {
        PyErr_SetString(PyExc_TypeError, "add_done_callback(callback, *, context=None)");
        return NULL;
    }
    context = context == NULL || context == Py_None ? PyContext_CopyCurrent() : Py_NewRef(context);
    if (context == NULL)
        return NULL;
    if (self->woken) {
        int status = call_soon(self, args[0], (PyObject *)self, context);
        Py_DECREF(context);
        if (status < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    Py_XSETREF(self->context, context);
    Py_XSETREF(self->callback, Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

static PyObject *
receiver_cancel(Receiver *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"msg", NULL};
    PyObject *message = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", names, &message))
        return NULL;
    PyObject *callback = self->callback, *context = self->context;
    if (callback == NULL)
        Py_RETURN_FALSE;
    self->callback = self->context = NULL;
    Py_XSETREF(self->cancelled, Py_NewRef(message));
    int status = call_soon(self, callback, (PyObject *)self, context);
    Py_DECREF(callback);
    Py_XDECREF(context);
    if (status < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *
receiver_result(Receiver *self, PyObject *unused)
{
    if (self->cancelled == NULL)
        Py_RETURN_NONE;
    if (self->cancelled == Py_None)
        PyErr_SetNone(CancelledError);
    else {
        PyObject *error = PyObject_CallOneArg(CancelledError, self->cancelled);
        if (error != NULL) {
            PyErr_SetObject(CancelledError, error);
            Py_DECREF(error);
        }
    }
    return NULL;
}

/* -- awaiting ----------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Receiver *receiver;
} Messages;

static PySendResult
messages_am_send(Messages *messages, PyObject *value, PyObject **result)
{
    Receiver *self = messages->receiver;
    int taken = self->callback != NULL || self->cancelled != NULL;
    *result = NULL;
    if (!taken)
        self->waits = self->woken = 0;
    PyObject *message =
        self->direct
            ? connection_take((Connection *)self->connection, (PyObject *)self)
            : PyObject_CallMethodOneArg(self->connection, name_take, (PyObject *)self);
    if (message == NULL)
        return PYGEN_ERROR;
    if (message != WAIT && message != ENDED) {
        *result = message;
        return PYGEN_RETURN;
    }
    Py_DECREF(message);
    if (message == ENDED) {
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return PYGEN_ERROR;
    }
    if (taken) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "receive() is called before another task has gone on that waited in receive() on "
            "the same websocket: let one task receive, and hand the messages on");
        return PYGEN_ERROR;
    }
    self->blocking = self->waits = 1;
    *result = Py_NewRef(self);
    return PYGEN_NEXT;
}

static PyObject *
messages_next(Messages *self)
{
    PyObject *result;
    if (messages_am_send(self, Py_None, &result) != PYGEN_RETURN)
        return result;
    PyObject *error = PyObject_CallOneArg(PyExc_StopIteration, result);
    Py_DECREF(result);
    if (error != NULL) {
        PyErr_SetObject(PyExc_StopIteration, error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *
messages_send(Messages *self, PyObject *value)
{
    return messages_next(self);
}

/* The wait timed out or was cancelled: a message that comes now stays in the inbox. */
static int
break_off(Receiver *self)
{
    if (!self->waits)
        return 0; /* it is another task that waits */
    self->waits = 0;
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->cancelled);
    return call_method(self->connection, name_cancel_take, (PyObject *)self);
}

static PyObject *
messages_throw(Messages *self, PyObject *args)
{
    PyObject *type, *value = NULL, *traceback = NULL;
    if (!PyArg_UnpackTuple(args, "throw", 1, 3, &type, &value, &traceback))
        return NULL;
    if (break_off(self->receiver) < 0)
        return NULL;
    if (PyExceptionInstance_Check(type)) {
        PyErr_SetObject((PyObject *)Py_TYPE(type), type);
        return NULL;
    }
    if (!PyExceptionClass_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "throw() takes an exception");
        return NULL;
    }
    if (value == Py_None)
        value = NULL;
    if (traceback == Py_None)
        traceback = NULL;
    Py_INCREF(type);
    Py_XINCREF(value);
    Py_XINCREF(traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static PyObject *
messages_close(Messages *self, PyObject *unused)
{
    if (break_off(self->receiver) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef receiver_methods[] = {
    {"_go_on", (PyCFunction)receiver_go_on, METH_NOARGS, NULL},
    {"get_loop", (PyCFunction)receiver_get_loop, METH_NOARGS, NULL},
    {"add_done_callback", (PyCFunction)(void (*)(void))receiver_add_done_callback,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"cancel", (PyCFunction)(void (*)(void))receiver_cancel, METH_VARARGS | METH_KEYWORDS, NULL},
    {"result", (PyCFunction)receiver_result, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef receiver_members[] = {
    {"_asyncio_future_blocking", T_BOOL, offsetof(Receiver, blocking)},
    {NULL},
};

PyTypeObject Receiver_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Receiver",
    .tp_doc = "Receiver(loop, connection): the future that a coroutine waits for.",
    .tp_basicsize = sizeof(Receiver),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = receiver_new,
    .tp_traverse = (traverseproc)receiver_traverse,
    .tp_clear = (inquiry)receiver_clear,
    .tp_dealloc = (destructor)receiver_dealloc,
    .tp_call = receiver_call,
    .tp_methods = receiver_methods,
    .tp_members = receiver_members,
};

static PyObject *
messages_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (import_asyncio() < 0)
        return NULL;
    PyObject *receiver = receiver_new(&Receiver_Type, args, kwargs);
    if (receiver == NULL)
        return NULL;
    Messages *self = (Messages *)type->tp_alloc(type, 0);
    if (self == NULL)
        Py_DECREF(receiver);
    else
        self->receiver = (Receiver *)receiver;
    return (PyObject *)self;
}

#define MESSAGES_OBJECTS(X) X(receiver)
COLLECTED(Messages, messages, MESSAGES_OBJECTS)

static PyMethodDef messages_methods[] = {
    {"send", (PyCFunction)messages_send, METH_O, NULL},
    {"throw", (PyCFunction)messages_throw, METH_VARARGS, NULL},
    {"close", (PyCFunction)messages_close, METH_NOARGS, NULL},
    {NULL},
};

static PyAsyncMethods messages_async = {
    .am_await = PyObject_SelfIter,
    .am_aiter = PyObject_SelfIter,
    .am_anext = PyObject_SelfIter,
    .am_send = (sendfunc)messages_am_send,
};

PyTypeObject Messages_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Messages",
    .tp_doc = "Messages(loop, connection): awaits the next message, iterates over all.",
    .tp_basicsize = sizeof(Messages),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = messages_new,
    .tp_traverse = (traverseproc)messages_traverse,
    .tp_clear = (inquiry)messages_clear,
    .tp_dealloc = (destructor)messages_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = (iternextfunc)messages_next,
    .tp_as_async = &messages_async,
    .tp_methods = messages_methods,
};
