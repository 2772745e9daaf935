/* Waiting in a greenlet: dualws.hot.pure.switcher, compiled. */
#include "hot.h"

typedef struct {
    PyObject_HEAD
    PyObject *hub;
    PyObject *getcurrent;
    PyObject *greenlet; /* the one that waits */
    PyObject *gate;     /* what code in another thread waits for */
    unsigned long ident;
    char woken;
} Switcher;

static int
switcher_init(Switcher *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ident", "hub", "getcurrent", NULL};
    PyObject *hub, *getcurrent;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "kOO:Switcher", names, &self->ident, &hub,
                                     &getcurrent))
        return -1;
    Py_XSETREF(self->hub, Py_NewRef(hub));
    Py_XSETREF(self->getcurrent, Py_NewRef(getcurrent));
    Py_XSETREF(self->greenlet, Py_NewRef(Py_None));
    Py_XSETREF(self->gate, Py_NewRef(Py_None));
    return 0;
}

#define SWITCHER_OBJECTS(X) X(hub) X(getcurrent) X(greenlet) X(gate)
COLLECTED(Switcher, switcher, SWITCHER_OBJECTS)

static PyObject *
switcher_wait(Switcher *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout = Py_None;
    if (count + (names == NULL ? 0 : PyTuple_GET_SIZE(names)) == 1)
        timeout = args[0]; /* it has one parameter, however it is called */
    else if (count != 0 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "wait(timeout=None)");
        return NULL;
    }
    if (timeout != Py_None || PyThread_get_thread_ident() != self->ident)
        return PyObject_CallMethodOneArg((PyObject *)self, name__wait_otherwise, timeout);
    PyObject *current = PyObject_CallNoArgs(self->getcurrent);
    if (current == NULL)
        return NULL;
    Py_INCREF(self);
    int status = 0;
    Py_SETREF(self->greenlet, Py_NewRef(current));
    while (status == 0 && !self->woken) {
        status = call_method(self->hub, name_switch, NULL);
        /* A note left for an earlier wait may come late. */
        Py_SETREF(self->greenlet, Py_NewRef(current));
    }
    Py_SETREF(self->greenlet, Py_NewRef(Py_None));
    if (status == 0)
        self->woken = 0;
    Py_DECREF(current);
    Py_DECREF(self);
    if (status < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static int
deliver(Switcher *self)
{
    PyObject *greenlet = self->greenlet;
    if (greenlet == Py_None)
        return 0;
    self->greenlet = Py_NewRef(Py_None);
    int status = call_method(greenlet, name_switch, NULL);
    Py_DECREF(greenlet);
    return status;
}

static PyObject *
switcher_deliver(Switcher *self, PyObject *unused)
{
    if (deliver(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
switcher_wake(Switcher *self, PyObject *unused)
{
    self->woken = 1;
    if (self->gate == Py_None) {
        if (self->greenlet == Py_None)
            Py_RETURN_NONE;
        PyObject *current = PyObject_CallNoArgs(self->getcurrent);
        if (current == NULL)
            return NULL;
        Py_DECREF(current);
        if (current == self->hub)
            return switcher_deliver(self, NULL);
    }
    return PyObject_CallMethodNoArgs((PyObject *)self, name__wake_from_elsewhere);
}

static PyMethodDef switcher_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))switcher_wait, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"wake", (PyCFunction)switcher_wake, METH_NOARGS, NULL},
    {"_deliver", (PyCFunction)switcher_deliver, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef switcher_members[] = {
    {"_hub", T_OBJECT_EX, offsetof(Switcher, hub)},
    {"_getcurrent", T_OBJECT_EX, offsetof(Switcher, getcurrent)},
    {"_greenlet", T_OBJECT_EX, offsetof(Switcher, greenlet)},
    {"_gate", T_OBJECT_EX, offsetof(Switcher, gate)},
    {"_ident", T_ULONG, offsetof(Switcher, ident)},
    {"_woken", T_BOOL, offsetof(Switcher, woken)},
    {NULL},
};

PyTypeObject Switcher_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Switcher",
    .tp_doc = "Switcher(ident, hub, getcurrent): waits by switching to the hub.",
    .tp_basicsize = sizeof(Switcher),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)switcher_init,
    .tp_traverse = (traverseproc)switcher_traverse,
    .tp_clear = (inquiry)switcher_clear,
    .tp_dealloc = (destructor)switcher_dealloc,
    .tp_methods = switcher_methods,
    .tp_members = switcher_members,
};
