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

/* Switch from *current* to the hub. gevent's hub asks before whether *current* has a switch_out(),
 * which by its way takes longer than the switch; so greenlet's own switch(), where it has none. */
static int
switch_to_hub(Switcher *self, PyObject *current)
{
    static PyObject *greenlets_switch;
    if (_PyType_Lookup(Py_TYPE(current), name_switch_out) != NULL)
        return call_method(self->hub, name_switch, NULL);
    if (greenlets_switch == NULL) {
        PyTypeObject *type = Py_TYPE(self->hub);
        while (type->tp_base != &PyBaseObject_Type)
            type = type->tp_base;
        greenlets_switch = PyObject_GetAttr((PyObject *)type, name_switch);
        if (greenlets_switch == NULL)
            return -1;
    }
    PyObject *result = PyObject_CallOneArg(greenlets_switch, self->hub);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

PyObject *
switcher_wait(PyObject *object, PyObject *timeout)
{
    Switcher *self = (Switcher *)object;
    if (timeout != Py_None || PyThread_get_thread_ident() != self->ident)
        return PyObject_CallMethodOneArg(object, name__wait_otherwise, timeout);
    PyObject *current = PyObject_CallNoArgs(self->getcurrent);
    if (current == NULL)
        return NULL;
    Py_INCREF(self);
    int status = 0;
    Py_SETREF(self->greenlet, Py_NewRef(current));
    while (status == 0 && !self->woken) {
        status = switch_to_hub(self, current);
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

static PyObject *
switcher_wait_method(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    if (all <= 1) /* it has one parameter, however it is called */
        return switcher_wait(self, all == 0 ? Py_None : args[0]);
    PyErr_SetString(PyExc_TypeError, "wait(timeout=None)");
    return NULL;
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

int
switcher_wake(PyObject *object)
{
    Switcher *self = (Switcher *)object;
    self->woken = 1;
    if (self->gate == Py_None) {
        if (self->greenlet == Py_None)
            return 0;
        PyObject *current = PyObject_CallNoArgs(self->getcurrent);
        if (current == NULL)
            return -1;
        Py_DECREF(current);
        if (current == self->hub)
            return deliver(self);
    }
    return call_method(object, name__wake_from_elsewhere, NULL);
}

static PyObject *
switcher_wake_method(PyObject *self, PyObject *unused)
{
    if (switcher_wake(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Called, it is wake(): it can be what waits for a message. */
static PyObject *
switcher_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return switcher_wake_method(self, NULL);
}

int
switcher_switches(PyObject *waiter)
{
    static PyTypeObject *known;
    PyTypeObject *type = Py_TYPE(waiter);
    if (type == known)
        return 1;
    if (!PyType_IsSubtype(type, &Switcher_Type) || !keeps_method(type, &Switcher_Type, "wait")
        || !keeps_method(type, &Switcher_Type, "wake"))
        return 0;
    Py_XSETREF(known, (PyTypeObject *)Py_NewRef(type));
    return 1;
}

static PyMethodDef switcher_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))switcher_wait_method, METH_FASTCALL | METH_KEYWORDS,
     NULL},
    {"wake", switcher_wake_method, METH_NOARGS, NULL},
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
    .tp_call = switcher_call,
    .tp_methods = switcher_methods,
    .tp_members = switcher_members,
};
