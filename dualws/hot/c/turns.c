/* When code that sends much must let others have a turn: dualws.hot.pure.turns, compiled. */
#include "hot.h"

/* Messages that a thread sends before others have a turn, and bytes that count as one more. */
#define SENDS 128
#define LONG 512

/* What this thread has sent since it waited for something. */
static _Thread_local Py_ssize_t sent;

int
turn_is_due(void)
{
    return sent + 1 >= SENDS;
}

int
turn_counts(Py_ssize_t size)
{
    sent += 1 + size / LONG;
    if (sent < SENDS)
        return 0;
    sent = 0;
    return 1;
}

void
turn_ends(void)
{
    sent = 0;
}

PyObject *
hot_others_turn(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t size = count == 1 ? PyLong_AsSsize_t(args[0]) : 0;
    if (count > 1 && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "others_turn(size=0)");
    if (PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(turn_counts(size));
}
