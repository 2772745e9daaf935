/*
 * How the load's connections are opened; a part of engine.c, which includes it.
 *
 * Law: at most `at_once` handshakes are under way, and a connection counts as open when the head of
 * its answer and the greeting behind it have come, byte by byte what was expected.
 */

static int begin(struct load *l, struct conn *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->plan.port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    int on = 1;
    if (inet_pton(AF_INET, l->plan.host, &address.sin_addr) != 1)
        return fail(l, "%s is not an IPv4 address", l->plan.host);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return fail(l, "no more sockets: %s (ulimit -n)", strerror(errno));
    c->state = CONNECTING;
    l->alive++;
    c->started = now_seconds();
    c->writing = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        return fail(l, "no connection: %s", strerror(errno));
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event))
        return fail(l, "epoll_ctl: %s", strerror(errno));
    return 0;
}

static int complete(struct load *l, struct conn *c)
{
    record(l, now_seconds() - c->started);
    free(c->got);
    c->got = NULL;
    c->state = OPEN;
    return 1;
}

/* The opening of one of the people, who come in turn. */
static const char *opening_of(struct load *l, struct conn *c, char *own)
{
    char number[6];
    if (!l->plan.people)
        return l->plan.opening;
    snprintf(number, sizeof number, "%05d", (int)((c - l->conns) % l->plan.people % 100000));
    memcpy(own, l->plan.opening, l->plan.opening_size);
    memcpy(own + l->plan.number_at, number, 5);
    return own;
}

static int connected(struct load *l, struct conn *c)
{
    char own[HEAD_SIZE];
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
        return fail(l, "no connection: %s", strerror(error));
    if (watch(l, c, 0))
        return -1;
    if (!l->plan.opening_size)
        return complete(l, c);
    c->state = ANSWERED;
    c->got = malloc(HEAD_SIZE);
    if (!c->got)
        return fail(l, "no memory");
    if (send(c->fd, opening_of(l, c, own), l->plan.opening_size, MSG_NOSIGNAL)
        != (ssize_t)l->plan.opening_size)
        return fail(l, "the handshake could not be sent: %s", strerror(errno));
    return 0;
}

static int answer_of_handshake(struct load *l, struct conn *c)
{
    struct plan *p = &l->plan;
    size_t rest, known;
    char *end;
    ssize_t n = recv(c->fd, c->got + c->got_size, HEAD_SIZE - 1 - c->got_size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n <= 0)
        return fail(l, "the handshake had no whole answer: %.*s", (int)c->got_size, c->got);
    c->got_size += (size_t)n;
    c->got[c->got_size] = 0;
    known = c->got_size < p->opened_size ? c->got_size : p->opened_size;
    if (memcmp(c->got, p->opened, known))
        return fail(l, "the handshake was not accepted: %.256s", c->got);
    end = memmem(c->got, c->got_size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    end += 4;
    rest = c->got_size - (size_t)(end - c->got);
    known = rest < p->greeting_size ? rest : p->greeting_size;
    if (memcmp(end, p->greeting, known) || rest > p->greeting_size)
        return fail(l, "something unexpected followed the handshake: %.64s", end);
    return rest == p->greeting_size ? complete(l, c) : 0;
}

int load_open(struct load *l)
{
    struct epoll_event events[EVENTS];
    int32_t started = 0, open = 0;
    double last = now_seconds();
    while (open < l->plan.connections) {
        int n;
        while (started < l->plan.connections && started - open < l->plan.at_once)
            if (begin(l, &l->conns[started++]))
                return -1;
        n = epoll_wait(l->epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            int done = 0;
            if (c->state == CONNECTING)
                done = connected(l, c);
            else if (c->state == ANSWERED)
                done = answer_of_handshake(l, c);
            else
                return fail(l, "something came before anything was sent, or the connection ended");
            if (done < 0)
                return -1;
            if (done) {
                open++;
                last = now_seconds();
            }
        }
        if (now_seconds() - last > PATIENCE)
            return fail(l, "%d of %d connections could be opened", open, l->plan.connections);
    }
    return 0;
}
