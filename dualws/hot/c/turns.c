/* When code that sends much must let others have a turn: dualws.hot.pure.turns, compiled. */
#include "hot.h"

#include <time.h>

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

/* A thread that lets go of the interpreter's lock and takes it again at once has it again before
 * another one has woken up, and each time begins the wait anew after which that could demand it:
 * threads starved beside a coroutine that sends without end. (In Python each send lets go.) */
static void
let_threads_run(void)
{
    const struct timespec moment = {.tv_nsec = 1000};
    Py_BEGIN_ALLOW_THREADS
    nanosleep(&moment, NULL);
    Py_END_ALLOW_THREADS
}

PyObject *
hot_others_turn(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Py_ssize_t size = count == 1 ? PyLong_AsSsize_t(args[0]) : 0;
    if (count > 1 && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "others_turn(size=0)");
    if (PyErr_Occurred())
        return NULL;
    int due = turn_counts(size);
    if (due)
        let_threads_run();
    return PyBool_FromLong(due);
}
