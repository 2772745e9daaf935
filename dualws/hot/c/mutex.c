/* A native mutex: held for microseconds, waited for without the interpreter's lock. */
#include "hot.h"

static PyObject *
mutex_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Mutex *self = (Mutex *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->lock = PyThread_allocate_lock();
    if (self->lock == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void
mutex_dealloc(Mutex *self)
{
    if (self->lock != NULL)
        PyThread_free_lock(self->lock);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static void
acquire(Mutex *self)
{
    if (PyThread_acquire_lock(self->lock, NOWAIT_LOCK))
        return;
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(self->lock, WAIT_LOCK);
    Py_END_ALLOW_THREADS
}

static int
release(Mutex *self)
{
    /* Releasing what nobody holds would let two in later. */
    if (PyThread_acquire_lock(self->lock, NOWAIT_LOCK)) {
        PyThread_release_lock(self->lock);
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return -1;
    }
    PyThread_release_lock(self->lock);
    return 0;
}

int
lock_try(PyObject *lock)
{
    return lock != NULL && Py_IS_TYPE(lock, &Mutex_Type)
           && PyThread_acquire_lock(((Mutex *)lock)->lock, NOWAIT_LOCK);
}

int
lock_acquire(PyObject *lock)
{
    if (lock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_lock");
        return -1;
    }
    if (Py_IS_TYPE(lock, &Mutex_Type)) {
        acquire((Mutex *)lock);
        return 0;
    }
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
        PyThread_release_lock(((Mutex *)lock)->lock);
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
    acquire(self);
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
            return PyBool_FromLong(PyThread_acquire_lock(self->lock, NOWAIT_LOCK));
    }
    acquire(self);
    Py_RETURN_TRUE;
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
    if (PyThread_acquire_lock(self->lock, NOWAIT_LOCK)) {
        PyThread_release_lock(self->lock);
        Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
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
    .tp_new = mutex_new,
    .tp_dealloc = (destructor)mutex_dealloc,
    .tp_methods = mutex_methods,
};
