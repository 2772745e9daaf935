/* The hot path, compiled: what the Python of dualws/hot/pure.py does, with the same names.
 *
 * Law: nothing here releases the interpreter's lock while it holds state half changed; whatever is
 * not a plain message of one frame is left to the Python above it (dualws/connection.py,
 * dualws/transport.py), by the same methods that pure.py calls.
 */
#ifndef DUALWS_HOT_H
#define DUALWS_HOT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>

/* Bytes that are read at a time: usually, and from a peer of large messages. */
#define READ_SIZE (64 * 1024)
#define READ_SIZE_LARGE (256 * 1024)

/* A native mutex: as _thread.lock, which has no C interface. All but the waiting happens under
 * the interpreter's lock. */
typedef struct {
    PyObject_HEAD
    PyThread_type_lock gate; /* what is waited at, made when somebody first does; else taken */
    int waiting;
    char held;
} Mutex;

/* The receiving side's state (dualws/protocol/stream.py). */
typedef struct {
    PyObject_HEAD
    PyObject *buffer;
    PyObject *deflate;
    Py_ssize_t left;
    Py_ssize_t max_size;
    int opcode;
    char over;
    char pending;
    char expect_masking;
    char whole;
    char discarding;
} Stream;

/* Compression (dualws/protocol/deflate.py). */
typedef struct {
    PyObject_HEAD
    Py_ssize_t threshold;
    int level;
    int ours;
    int theirs;
    char keeps_context;
    char alone;
    char begun;
} Deflate;

typedef struct {
    PyObject_HEAD
    PyObject *sock;
    PyObject *owner;
    PyObject *lock;
    PyObject *early;
    PyObject *buffer;
    PyObject *account;
    PyObject *after_read;
    Py_ssize_t read_size;
    int small_reads;
    int descriptor;
    char paused;
    char eof;
    char closing;
    char discarding;
    char closed;
    char failed;
    char replaced; /* whether a subclass has a write() of its own: UNKNOWN, YES, NO */
    char owned;    /* whether the owner is a Connection */
    PyTypeObject *owner_type; /* of the owner that *owned* is about; no reference */
} Transport;

enum { UNKNOWN = 0, YES, NO };

typedef struct {
    PyObject_HEAD
    PyObject *server;
    PyObject *lock;
    PyObject *transport;
    PyObject *stream;
    PyObject *inbox;
    PyObject *ready;
    PyObject *waiter;
    PyObject *batch;
    PyObject *turn;
    PyObject *deflate;
    Py_ssize_t inbox_bytes;
    Py_ssize_t most_bytes;
    Py_ssize_t most_messages;
    Py_ssize_t limit;
    Py_ssize_t waiting;
    unsigned long long messages_in;
    unsigned long long messages_out;
    unsigned long long bytes_in;
    unsigned long long bytes_out;
    char alive;
    char paused;
    char end;
    char close_sent;
    char lost;
    char behind;
    char plain;
} Connection;

extern PyTypeObject Mutex_Type, Stream_Type, Transport_Type, Connection_Type, Deflate_Type,
    Receiver_Type, Messages_Type, Switcher_Type;

/* Names of methods and attributes, made once. */
#define NAMES(X) \
    X(__enter__) X(__exit__) X(_lost) X(_fails) X(_watch_reading) X(_call_soon) X(_start_writing) \
    X(_broken) X(data_received) X(eof_received) X(add) X(pause_reading) X(write) X(wake) X(wait) \
    X(flusher) X(closed_error) X(_receive) X(_answer_end) X(_make_room) X(_refuse_second) \
    X(_waiter_for) X(_not_woken) X(_wait_broke) X(send_nowait) X(_send_nowait) X(frame_for) \
    X(plain) X(deflate) X(call_soon) X(context) X(_go_on) X(take) X(cancel_take) X(switch) \
    X(switch_out) X(_wait_otherwise) X(_wake_from_elsewhere)
#define DECLARE(name) extern PyObject *name_##name;
NAMES(DECLARE)
#undef DECLARE

/* From dualws.sentinels; and from dualws.loops and asyncio, which only coroutines need. */
extern PyObject *WAIT, *ENDED, *call_from_outside, *raise_later, *CancelledError;
int import_asyncio(void);

/* Acquire and release any lock of the contract; -1 with an exception set. */
int lock_acquire(PyObject *lock);
int lock_release(PyObject *lock);
/* Whether it was free, and is held now; not known of locks that are not ours. */
int lock_try(PyObject *lock);

/* What the collector of garbage asks of a type whose objects hold those of OBJECTS(X). */
#define VISIT_ONE(field) Py_VISIT(self->field);
#define CLEAR_ONE(field) Py_CLEAR(self->field);
#define COLLECTED(Type, prefix, OBJECTS) \
    static int prefix##_traverse(Type *self, visitproc visit, void *arg) \
    { \
        OBJECTS(VISIT_ONE) \
        return 0; \
    } \
    static int prefix##_clear(Type *self) \
    { \
        OBJECTS(CLEAR_ONE) \
        return 0; \
    } \
    static void prefix##_dealloc(Type *self) \
    { \
        PyObject_GC_UnTrack(self); \
        prefix##_clear(self); \
        Py_TYPE(self)->tp_free((PyObject *)self); \
    }

/* Call a method for what it does; -1 with an exception set. Without *argument* when that is NULL. */
int call_method(PyObject *object, PyObject *name, PyObject *argument);
/* The exception that is set, which is not any more; a new reference. */
PyObject *take_error(void);

/* As object.__new__(type), which refuses abstract classes. */
PyObject *new_object(PyTypeObject *type);

/* Whether *type* has kept the method *name* that the compiled *base* has. */
int keeps_method(PyTypeObject *type, PyTypeObject *base, const char *name);

/* A frame's bytes to the transport; how many wait then, -1 when the peer is gone, -2 with an
 * exception set. The transport's lock is taken. */
Py_ssize_t transport_write(Transport *self, const char *head, Py_ssize_t head_size,
                           const char *body, Py_ssize_t body_size);
/* Whether transport_write() does what the object's write() does. */
int transport_writes(PyObject *transport);

/* Whether open() was called; 0 with an exception set. */
int has_transport(Connection *self);
/* What was received, to the connection; *whole* is the same as a bytes object, or NULL. */
int connection_received(Connection *self, const char *data, Py_ssize_t size, PyObject *whole);
/* Whether that does what the object's data_received() does. */
int connection_receives(PyObject *owner);
/* Whether the stream is in the middle of a frame: what comes is not looked at here. */
int connection_in_frame(Connection *self);
/* Send what was kept to go out together, with the lock held; as transport_write(). */
Py_ssize_t connection_flush(Connection *self);
/* The next message; WAIT, after *ready* was noted; or ENDED. A new reference. */
PyObject *connection_take(Connection *self, PyObject *ready);

/* Wake a receiver; -1 with an exception set. */
int receiver_wake(PyObject *self);
/* Wait as Switcher.wait(), and wake; -1 with an exception set. */
PyObject *switcher_wait(PyObject *self, PyObject *timeout);
int switcher_wake(PyObject *self);
/* Whether those do what the waiter's own wait() and wake() do. */
int switcher_switches(PyObject *waiter);
/* Call what waits for a message. Steals the reference. */
int call_ready(PyObject *ready);

/* Whether others are to have a turn before this thread sends one more message. */
int turn_is_due(void);
/* Count a message for which *size* bytes must be worked on; whether others are to have a turn. */
int turn_counts(Py_ssize_t size);
/* This thread waits: others have theirs. */
void turn_ends(void);

PyObject *hot_others_turn(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *hot_keep_stacks(PyObject *module, PyObject *unused);
PyObject *hot_fan_out(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* *size* bytes from *from*, unmasked with the four bytes of *key*; the OR of all of them. */
uint64_t unmask_to(char *to, const char *from, Py_ssize_t size, const char *key);

/* Room that is enough for what deflate_compress() makes. */
#define SHORT_COMPRESSED (8 * 1024 + 64)
/* A message compressed for itself, without the tail of a flush; -1 when it goes the long way. */
Py_ssize_t deflate_compress(Deflate *self, const char *data, Py_ssize_t size, char *to);
/* A whole message from its masked payload, in memory that the next one is inflated to; -1 when it
 * is to be inflated with care. */
Py_ssize_t deflate_inflate(Deflate *self, const char *data, Py_ssize_t size, const char *key,
                           Py_ssize_t room, const char **message);
/* Whether there is a zlib for them; -1 with an exception set. */
int find_zlib(void);

/* The header of an unmasked frame; its size. */
int frame_header(char *head, int opcode, uint64_t size);

#endif
