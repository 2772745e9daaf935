/* The module: its types, and what it uses of others. */
#include "hot.h"

#define DEFINE(name) PyObject *name_##name;
NAMES(DEFINE)
#undef DEFINE

PyObject *WAIT, *ENDED, *call_from_outside, *raise_later, *CancelledError;

int
call_method(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *result = argument == NULL ? PyObject_CallMethodNoArgs(object, name)
                                        : PyObject_CallMethodOneArg(object, name, argument);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

PyObject *
take_error(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

PyObject *
new_object(PyTypeObject *type)
{
    static PyObject *nothing;
    if (nothing == NULL && (nothing = PyTuple_New(0)) == NULL)
        return NULL;
    return PyBaseObject_Type.tp_new(type, nothing, NULL);
}

int
keeps_method(PyTypeObject *type, PyTypeObject *base, const char *name)
{
    PyObject *own = PyObject_GetAttrString((PyObject *)type, name);
    PyObject *given = PyObject_GetAttrString((PyObject *)base, name);
    int same = own != NULL && own == given;
    Py_XDECREF(own);
    Py_XDECREF(given);
    PyErr_Clear();
    return same;
}

static int
import_one(PyObject **to, const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL)
        return -1;
    *to = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return *to == NULL ? -1 : 0;
}

extern unsigned long long system_calls;

static PyObject *
count_system_calls(PyObject *module, PyObject *unused)
{
    return PyLong_FromUnsignedLongLong(system_calls);
}

int
import_asyncio(void)
{
    if (CancelledError != NULL)
        return 0;
    return import_one(&call_from_outside, "dualws.loops", "call_from_outside") < 0
                   || import_one(&raise_later, "dualws.loops", "raise_later") < 0
                   || import_one(&CancelledError, "asyncio", "CancelledError") < 0
               ? -1
               : 0;
}

static PyMethodDef functions[] = {
    {"system_calls", count_system_calls, METH_NOARGS,
     "How often the system was asked to receive or to send."},
    {"fan_out", (PyCFunction)(void (*)(void))hot_fan_out, METH_FASTCALL, NULL},
    {"others_turn", (PyCFunction)(void (*)(void))hot_others_turn, METH_FASTCALL, NULL},
    {"keep_stacks", hot_keep_stacks, METH_NOARGS, NULL},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "dualws.hot._compiled",
    .m_doc = "dualws.hot.pure, compiled.",
    .m_size = -1,
    .m_methods = functions,
};

extern void join_methods(void);

PyMODINIT_FUNC
PyInit__compiled(void)
{
#define INTERN(name) \
    if ((name_##name = PyUnicode_InternFromString(#name)) == NULL) \
        return NULL;
    NAMES(INTERN)
#undef INTERN
    if (import_one(&WAIT, "dualws.sentinels", "WAIT") < 0
        || import_one(&ENDED, "dualws.sentinels", "ENDED") < 0)
        return NULL;
    join_methods();
    if (PyType_Ready(&Receiver_Type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    PyTypeObject *types[] = {&Mutex_Type, &Stream_Type, &Transport_Type, &Connection_Type,
                             &Messages_Type, &Switcher_Type};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (PyModule_AddType(module, types[i]) < 0) {
            Py_DECREF(module);
            return NULL;
        }
    int found = find_zlib();
    PyObject *deflate = found > 0 ? Py_NewRef((PyObject *)&Deflate_Type) : NULL;
    if (PyType_Ready(&Deflate_Type) < 0 || found < 0
        || (found == 0 && import_one(&deflate, "dualws.hot.pure.deflate", "Deflate") < 0)
        || PyModule_AddObject(module, "Deflate", deflate) < 0)
        Py_CLEAR(module);
    return module;
}
