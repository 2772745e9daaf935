/* A native mutex: held for microseconds, waited for without the interpreter's lock. */
#include "hot.h"

static void
mutex_dealloc(Mutex *self)
{
    if (self->gate != NULL) {
        PyThread_release_lock(self->gate);
        PyThread_free_lock(self->gate);
    }
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Whoever waited takes it when nobody else has meanwhile, and waits again otherwise. */
static int
acquire(Mutex *self)
{
    if (!self->held) {
        self->held = 1;
        return 0;
    }
    if (self->gate == NULL) {
        self->gate = PyThread_allocate_lock();
        if (self->gate == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        PyThread_acquire_lock(self->gate, WAIT_LOCK);
    }
    self->waiting++;
    while (self->held) {
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(self->gate, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    self->waiting--;
    self->held = 1;
    return 0;
}

static void
let_go(Mutex *self)
{
    self->held = 0;
    if (self->waiting)
        PyThread_release_lock(self->gate);
}

static int
release(Mutex *self)
{
    if (!self->held) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return -1;
    }
    let_go(self);
    return 0;
}

int
lock_try(PyObject *lock)
{
    if (lock == NULL || !Py_IS_TYPE(lock, &Mutex_Type) || ((Mutex *)lock)->held)
        return 0;
    ((Mutex *)lock)->held = 1;
    return 1;
}

int
lock_acquire(PyObject *lock)
{
    if (lock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_lock");
        return -1;
    }
    if (Py_IS_TYPE(lock, &Mutex_Type))
        return acquire((Mutex *)lock);
    PyObject *result = PyObject_CallMethodNoArgs(lock, name___enter__);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

int
lock_release(PyObject *lock)
{
    if (Py_IS_TYPE(lock, &Mutex_Type)) {
        let_go((Mutex *)lock);
        return 0;
    }
    /* Whatever is being raised stays so. */
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result =
        PyObject_CallMethodObjArgs(lock, name___exit__, Py_None, Py_None, Py_None, NULL);
    if (result == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    Py_DECREF(result);
    PyErr_Restore(type, value, traceback);
    return 0;
}

static PyObject *
mutex_enter(Mutex *self, PyObject *unused)
{
    if (acquire(self) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *
mutex_exit(Mutex *self, PyObject *const *args, Py_ssize_t count)
{
    if (release(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* As of threading.Lock, so that a threading.Condition can be made of it. */
static PyObject *
mutex_acquire(Mutex *self, PyObject *const *args, Py_ssize_t count)
{
    if (count > 0) {
        int blocking = PyObject_IsTrue(args[0]);
        if (blocking < 0)
            return NULL;
        if (!blocking)
            return PyBool_FromLong(lock_try((PyObject *)self));
    }
    return mutex_enter(self, NULL);
}

static PyObject *
mutex_release(Mutex *self, PyObject *unused)
{
    if (release(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
mutex_locked(Mutex *self, PyObject *unused)
{
    return PyBool_FromLong(self->held);
}

static PyMethodDef mutex_methods[] = {
    {"__enter__", (PyCFunction)mutex_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))mutex_exit, METH_FASTCALL, NULL},
    {"acquire", (PyCFunction)(void (*)(void))mutex_acquire, METH_FASTCALL, "As a lock's."},
    {"release", (PyCFunction)mutex_release, METH_NOARGS, "As a lock's."},
    {"locked", (PyCFunction)mutex_locked, METH_NOARGS, "Whether somebody holds it."},
    {NULL},
};

PyTypeObject Mutex_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "dualws.hot._compiled.Mutex",
    .tp_doc = "A native mutex.",
    .tp_basicsize = sizeof(Mutex),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)mutex_dealloc,
    .tp_methods = mutex_methods,
};
