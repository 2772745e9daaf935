/*
 * The load's loop: one epoll, no parsing, no allocation while messages go to and fro.
 *
 * Law: what is sent was made before, and what comes back is compared with one periodic sequence
 * of bytes. Where the answers are not known beforehand (compressed ones), their frames' headers
 * are walked and nothing else. dualws/bench/native.py compiles this file and calls it;
 * dualws/bench/plain.py says the same in Python, for machines without a compiler.
 *
 * Every function that can fail returns a negative number and leaves a sentence in `error`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define EVENTS 512
#define HEAD_SIZE 8192
/* Seconds without any progress after which opening gives up, and that closing may take. */
#define PATIENCE 20.0
/* Latencies are counted in 2^STEPS steps for each power of two of nanoseconds. */
#define STEPS 7
#define BUCKETS ((64 - STEPS) << STEPS)

/* The order and types of these fields are those of _Plan in native.py. */
struct plan {
    const char *host;
    const char *opening;  size_t opening_size;   /* sent first; may be empty */
    const char *opened;   size_t opened_size;    /* how the head of its answer begins */
    const char *greeting; size_t greeting_size;  /* what must follow that head */
    const char *joined;                          /* the ring of messages, and again its begin */
    size_t ring_size, frame_size;
    const char *answer;   size_t answer_size;    /* one period; unused where frames are walked */
    const char *mask;                            /* of the bits that are compared; or NULL */
    const char *goodbye;  size_t goodbye_size;   /* sent last; empty: the sending side is shut */
    int32_t port, connections, in_flight, at_once, framed, fan_out;
    int32_t people, number_at;                   /* in the opening, five digits; no people: none */
};

enum state { CLOSED, CONNECTING, ANSWERED, OPEN };

struct conn {
    int fd;
    enum state state;
    int writing;                 /* whether EPOLLOUT is asked for */
    size_t owed, next;           /* bytes still to send, and from where in the ring */
    size_t position;             /* in the answer's period */
    uint64_t count, round;
    double *sent;                /* when each message that is on its way was sent */
    int32_t head;                /* the oldest of them */
    char *got;                   /* head of the handshake's answer */
    size_t got_size;
    double started;
    unsigned char header[10];    /* of the frame that is being walked */
    int header_size;
    uint64_t left;               /* of its payload */
};

struct load {
    struct plan plan;
    int epoll, closing, alive;
    struct conn *conns;
    double *sent;
    int32_t *reached;            /* fan-out: connections that have a round */
    char *buffer;
    uint64_t histogram[BUCKETS], samples;
    double slowest;
    char error[512];
};

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fail(struct load *l, const char *text, ...)
{
    va_list words;
    va_start(words, text);
    vsnprintf(l->error, sizeof l->error, text, words);
    va_end(words);
    return -1;
}

static void record(struct load *l, double seconds)
{
    uint64_t n = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
    size_t bucket = n;
    if (n >> STEPS) {
        int shift = 63 - __builtin_clzll(n) - STEPS;
        bucket = (((size_t)shift + 1) << STEPS) + ((n >> shift) & ((1u << STEPS) - 1));
    }
    l->histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    l->samples++;
    if (seconds > l->slowest)
        l->slowest = seconds;
}

static int watch(struct load *l, struct conn *c, int writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    if (c->writing == writing)
        return 0;
    c->writing = writing;
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event))
        return fail(l, "epoll_ctl: %s", strerror(errno));
    return 0;
}

/* Send what is owed, as far as the socket takes it. */
static int flush(struct load *l, struct conn *c)
{
    while (c->owed) {
        ssize_t n = send(c->fd, l->plan.joined + c->next, c->owed, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK)
                return watch(l, c, 1);
            return fail(l, "the server closed a connection in the middle of the load: %s",
                        strerror(errno));
        }
        c->owed -= (size_t)n;
        c->next = (c->next + (size_t)n) % l->plan.ring_size;
    }
    return watch(l, c, 0);
}

static int post(struct load *l, struct conn *c, size_t messages)
{
    c->owed += messages * l->plan.frame_size;
    return flush(l, c);
}

static int differs(struct load *l, size_t position, const char *data, size_t size)
{
    const char *answer = l->plan.answer + position, *mask = l->plan.mask;
    char found = 0;
    if (!mask)
        return memcmp(answer, data, size) != 0;
    mask += position;
    for (size_t i = 0; i < size; i++)
        found |= (char)((answer[i] ^ data[i]) & mask[i]);
    return found != 0;
}

/* How many answers *data* completes; negative: it is not what had to come. */
static ssize_t compared(struct load *l, struct conn *c, const char *data, size_t size)
{
    size_t period = l->plan.answer_size, position = c->position, done = 0;
    while (size) {
        size_t piece = period - position < size ? period - position : size;
        if (differs(l, position, data, piece))
            return fail(l, "the server did not answer what was expected: %.64s", data);
        data += piece;
        size -= piece;
        position += piece;
        if (position == period) {
            position = 0;
            done++;
        }
    }
    c->position = position;
    return (ssize_t)done;
}

/* How many messages *data* completes, by their frames' headers (RFC 6455 section 5.2). */
static ssize_t walked(struct load *l, struct conn *c, const char *data, size_t size)
{
    ssize_t done = 0;
    while (size) {
        if (c->left) {
            size_t piece = c->left < size ? (size_t)c->left : size;
            c->left -= piece;
            data += piece;
            size -= piece;
        } else {
            c->header[c->header_size++] = (unsigned char)*data++;
            size--;
        }
        if (c->header_size >= 2 && !c->left) {
            unsigned char first = c->header[0], length = c->header[1];
            int want = length == 126 ? 4 : length == 127 ? 10 : 2;
            if (length & 0x80)
                return fail(l, "the server masked a frame");
            if ((first & 0x0f) == 0x8)
                return fail(l, "the server closed a websocket in the middle of the load");
            if (c->header_size < want)
                continue;
            if (c->header_size == want) {
                uint64_t payload = length;
                if (want > 2) {
                    payload = 0;
                    for (int i = 2; i < want; i++)
                        payload = payload << 8 | c->header[i];
                }
                c->left = payload;
                c->header_size = 11; /* the header is known: what follows is payload */
            }
            if (!c->left) {
                c->header_size = 0;
                /* A control frame is no message; a fragment ends one only with FIN. */
                if (first & 0x80 && !(first & 0x08))
                    done++;
            }
        }
    }
    return done;
}

/* Answers have come on *c*: note how long they took and send as many messages. */
static int answered(struct load *l, struct conn *c, size_t done)
{
    double now = now_seconds();
    int32_t window = l->plan.in_flight;
    size_t rounds = 0;
    c->count += done;
    if (!l->plan.fan_out) {
        for (size_t i = 0; i < done; i++) {
            record(l, now - c->sent[c->head]);
            c->sent[c->head] = now;
            if (++c->head == window)
                c->head = 0;
        }
        return post(l, c, done);
    }
    for (size_t i = 0; i < done; i++) {
        size_t slot = (size_t)(c->round++ % (uint64_t)window);
        record(l, now - l->conns->sent[slot]);
        if (++l->reached[slot] == l->plan.connections) {
            l->reached[slot] = 0;
            l->conns->sent[slot] = now;
            rounds++;
        }
    }
    return rounds ? post(l, l->conns, rounds) : 0;
}

static void forget(struct load *l, struct conn *c)
{
    if (c->state == CLOSED)
        return;
    close(c->fd);
    free(c->got);
    c->got = NULL;
    c->state = CLOSED;
    l->alive--;
}

static int readable(struct load *l, struct conn *c)
{
    ssize_t done, n = recv(c->fd, l->buffer, READ_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (l->closing) {
        if (n <= 0)
            forget(l, c);
        return 0;
    }
    if (n <= 0)
        return fail(l, "the server closed a connection in the middle of the load%s%s",
                    n ? ": " : "", n ? strerror(errno) : "");
    done = (l->plan.framed ? walked : compared)(l, c, l->buffer, (size_t)n);
    return done > 0 ? answered(l, c, (size_t)done) : (int)done;
}

#include "opening.c"

/* Driving ---------------------------------------------------------------------------------- */

int load_start(struct load *l)
{
    double now = now_seconds();
    int32_t senders = l->plan.fan_out ? 1 : l->plan.connections;
    for (int32_t i = 0; i < senders; i++) {
        for (int32_t j = 0; j < l->plan.in_flight; j++)
            l->conns[i].sent[j] = now;
        if (post(l, &l->conns[i], (size_t)l->plan.in_flight))
            return -1;
    }
    return 0;
}

int load_drive(struct load *l, double seconds, double *took)
{
    struct epoll_event events[EVENTS];
    double first = now_seconds(), end = first + seconds, now = first;
    while (now < end) {
        int n = epoll_wait(l->epoll, events, EVENTS, 50);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT && flush(l, c))
                return -1;
            if (events[i].events & ~(uint32_t)EPOLLOUT && readable(l, c))
                return -1;
        }
        now = now_seconds();
    }
    *took = now - first;
    return 0;
}

void load_clear(struct load *l)
{
    memset(l->histogram, 0, sizeof l->histogram);
    l->samples = 0;
    l->slowest = 0;
    for (int32_t i = 0; i < l->plan.connections; i++)
        l->conns[i].count = 0;
}

void load_counts(struct load *l, uint64_t *counts)
{
    for (int32_t i = 0; i < l->plan.connections; i++)
        counts[i] = l->conns[i].count;
}

/* The longest time; messages that never came back are late too. */
double load_slowest(struct load *l)
{
    double now = now_seconds(), slowest = l->slowest;
    int32_t senders = l->plan.fan_out ? 1 : l->plan.connections;
    for (int32_t i = 0; i < senders; i++)
        for (int32_t j = 0; j < l->plan.in_flight; j++) {
            double sent = l->conns[i].sent[j];
            if (sent && now - sent > slowest)
                slowest = now - sent;
        }
    return slowest;
}

/* The latency below which *share* of the answers lie. */
double load_latency(struct load *l, double share)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)l->samples * share);
    if (!l->samples)
        return load_slowest(l);
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        seen += l->histogram[bucket];
        if (seen > wanted) {
            size_t shift = bucket >> STEPS, step = bucket & ((1u << STEPS) - 1);
            uint64_t n = shift ? ((uint64_t)step + (1u << STEPS)) << (shift - 1) : step;
            double seconds = (double)n * 1e-9;
            return seconds < l->slowest ? seconds : l->slowest;
        }
    }
    return l->slowest;
}

/* Closing ---------------------------------------------------------------------------------- */

static void goodbye(struct load *l, struct conn *c)
{
    struct plan *p = &l->plan;
    if (!p->goodbye_size)
        shutdown(c->fd, SHUT_WR);
    else if (send(c->fd, p->goodbye, p->goodbye_size, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        forget(l, c);
}

/* Finish what is half sent, say goodbye and wait until the server has closed. */
void load_close(struct load *l)
{
    struct epoll_event events[EVENTS];
    double end = now_seconds() + PATIENCE;
    l->closing = 1;
    for (int32_t i = 0; i < l->plan.connections; i++) {
        struct conn *c = &l->conns[i];
        /* Whole messages that have not begun are not sent any more. */
        c->owed %= l->plan.frame_size;
        if (c->state == OPEN && !c->owed)
            goodbye(l, c);
    }
    while (l->alive && now_seconds() < end) {
        int n = epoll_wait(l->epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->state != OPEN)
                forget(l, c);
            else if (events[i].events & EPOLLOUT && c->owed) {
                if (flush(l, c))
                    forget(l, c);
                else if (!c->owed)
                    goodbye(l, c);
            }
            if (c->state == OPEN && events[i].events & ~(uint32_t)EPOLLOUT)
                readable(l, c);
        }
    }
}

void load_free(struct load *l)
{
    for (int32_t i = 0; i < l->plan.connections; i++)
        forget(l, &l->conns[i]);
    if (l->epoll >= 0)
        close(l->epoll);
    free(l->buffer);
    free(l->reached);
    free(l->sent);
    free(l->conns);
    free(l);
}

const char *load_error(struct load *l)
{
    return l->error;
}

struct load *load_new(const struct plan *plan)
{
    struct load *l = calloc(1, sizeof *l);
    size_t connections = (size_t)plan->connections, window = (size_t)plan->in_flight;
    if (!l)
        return NULL;
    l->plan = *plan;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc(connections, sizeof *l->conns);
    l->sent = calloc(connections * window, sizeof *l->sent);
    l->reached = calloc(window, sizeof *l->reached);
    l->buffer = malloc(READ_SIZE);
    if (!l->conns || !l->sent || !l->reached || !l->buffer || l->epoll < 0) {
        l->plan.connections = 0;
        load_free(l);
        return NULL;
    }
    for (size_t i = 0; i < connections; i++) {
        l->conns[i].sent = l->sent + i * window;
        l->conns[i].fd = -1;
    }
    return l;
}
