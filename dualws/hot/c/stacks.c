/* Memory for the frames of greenlets that come and go.
 *
 * CPython maps a piece for the first Python frame of each thread and of each greenlet, and unmaps it
 * at its end. With the page faults in between that takes longer than a message; so the pieces
 * of the last few are kept for the next ones. */
#include "hot.h"

#include <stdatomic.h>

/* DATA_STACK_CHUNK_SIZE of CPython 3.11 and later: how large such a piece is. */
#define STACK (16 * 1024)
/* Few: one that a deep stack has used has all its pages, and may go to a handler that waits long. */
#define KEPT 16

static PyObjectArenaAllocator system_allocator;
static struct {
    _Atomic(void *) piece;
    atomic_flag used;
} kept[KEPT];

static void *
allocate(void *context, size_t size)
{
    if (size != STACK)
        return system_allocator.alloc(system_allocator.ctx, size);
    for (int i = 0; i < KEPT; i++)
        if (!atomic_flag_test_and_set(&kept[i].used)) {
            if (kept[i].piece == NULL)
                kept[i].piece = system_allocator.alloc(system_allocator.ctx, size);
            if (kept[i].piece == NULL)
                atomic_flag_clear(&kept[i].used);
            return kept[i].piece;
        }
    return system_allocator.alloc(system_allocator.ctx, size);
}

static void
release(void *context, void *piece, size_t size)
{
    if (size == STACK)
        for (int i = 0; i < KEPT; i++)
            if (kept[i].piece == piece) {
                atomic_flag_clear(&kept[i].used);
                return;
            }
    system_allocator.free(system_allocator.ctx, piece, size);
}

PyObject *
hot_keep_stacks(PyObject *module, PyObject *unused)
{
    if (system_allocator.alloc == NULL) {
        PyObjectArenaAllocator ours = {NULL, allocate, release};
        PyObject_GetArenaAllocator(&system_allocator);
        PyObject_SetArenaAllocator(&ours);
    }
    Py_RETURN_NONE;
}
