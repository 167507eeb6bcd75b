/* A load client that understands answers: one epoll loop, closed loop per connection.
 *
 *   load PORT CONNECTIONS SECONDS REQUEST_FILE          repeats the request until the time is over
 *   load PORT CONNECTIONS SECONDS REQUEST_FILE once     one request per connection; prints "open" when every
 *                                                       connection has the first byte of its answer
 *
 * Prints one line of JSON. Times in microseconds. An answer counts as done when its framing says so. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNS 20000
#define MAX_HEAD 16384
#define MAX_TIMES 2000000

enum { HEAD, LENGTH, SIZE, DATA, DATA_END, TRAILER };

typedef struct {
    int fd, state, running, first_seen;
    uint64_t started, first, left, body;
    size_t sent, head_len, line_len;
    char head[MAX_HEAD], line[32];
} Conn;

static Conn *conns;
static char *request;
static size_t request_len;
static int port, total_conns, once, running, opened;
static long done, errors, statuses_bad;
static uint64_t body_min = UINT64_MAX, body_max, deadline, bytes;
static uint32_t *ttfb, *total;

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int ep;

static void send_more(Conn *c) {
    while (c->sent < request_len) {
        ssize_t n = write(c->fd, request + c->sent, request_len - c->sent);
        if (n < 0) return;
        c->sent += (size_t)n;
    }
}

static void begin(Conn *c) {
    c->state = HEAD, c->head_len = c->line_len = c->sent = 0, c->body = 0, c->first = 0;
    c->started = now_us();
    if (!c->running) running++;
    c->running = 1;
    send_more(c);
}

static void stop(Conn *c) {
    if (c->running) running--;
    c->running = 0;
    close(c->fd);
    c->fd = -1;
}

static int open_conn(Conn *c, int index) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(c->fd, (void *)&a, sizeof a)) return -1;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)index};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
    return 0;
}

static void finished(Conn *c) {
    uint64_t now = now_us();
    if (done < MAX_TIMES) ttfb[done] = (uint32_t)(c->first - c->started), total[done] = (uint32_t)(now - c->started);
    done++;
    if (c->body < body_min) body_min = c->body;
    if (c->body > body_max) body_max = c->body;
    if (once || now >= deadline) stop(c);
    else begin(c);
}

/* Returns 1 when the head is complete, 0 when more is needed, -1 when it is not one. */
static int take_head(Conn *c, const char **p, const char *end) {
    while (*p < end) {
        if (c->head_len == MAX_HEAD - 1) return -1;
        c->head[c->head_len++] = *(*p)++;
        if (c->head_len < 4 || memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4)) continue;
        c->head[c->head_len] = 0;
        if (memcmp(c->head + 9, "200", 3)) statuses_bad++;
        char *length = strcasestr(c->head, "\r\ncontent-length:");
        c->state = length ? LENGTH : SIZE;
        c->left = length ? strtoull(length + 17, NULL, 10) : 0;
        return length || strcasestr(c->head, "chunked") ? 1 : -1;
    }
    return 0;
}

static int take(Conn *c, const char *p, const char *end) {
    while (p < end || (c->state == LENGTH && !c->left)) {
        if (c->state == HEAD) {
            int got = take_head(c, &p, end);
            if (got < 1) return got;
        } else if (c->state == LENGTH || c->state == DATA) {
            uint64_t n = (uint64_t)(end - p) < c->left ? (uint64_t)(end - p) : c->left;
            p += n, c->left -= n, c->body += n;
            if (c->left) return 0;
            if (c->state == LENGTH) {
                finished(c);
                return 0;
            }
            c->state = DATA_END, c->left = 2;
        } else if (c->state == DATA_END) {
            p++;
            if (!--c->left) c->state = SIZE;
        } else {
            char byte = *p++;
            if (byte != '\n') {
                if (c->line_len < sizeof c->line - 1) c->line[c->line_len++] = byte;
                continue;
            }
            c->line[c->line_len] = 0;
            size_t length = c->line_len;
            c->line_len = 0;
            if (c->state == TRAILER) {
                if (length > 1) continue;
                finished(c);
                return 0;
            }
            c->left = strtoull(c->line, NULL, 16);
            c->state = c->left ? DATA : TRAILER;
        }
    }
    return 0;
}

static void readable(Conn *c) {
    static char buf[262144];
    for (;;) {
        ssize_t n = read(c->fd, buf, sizeof buf);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) break;
        bytes += (uint64_t)n;
        if (!c->first) {
            c->first = now_us();
            if (!c->first_seen++ && ++opened == total_conns && once) {
                puts("open");
                fflush(stdout);
            }
        }
        if (take(c, buf, buf + n) < 0) break;
        if (c->fd < 0) return;
    }
    errors++;
    stop(c);
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t share(uint32_t *times, double part) {
    long n = done < MAX_TIMES ? done : MAX_TIMES;
    return n ? times[(long)(part * (double)(n - 1))] : 0;
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS REQUEST_FILE [once]\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    port = atoi(argv[1]), total_conns = atoi(argv[2]), once = argc > 5;
    double seconds = atof(argv[3]);
    FILE *f = fopen(argv[4], "rb");
    request = malloc(1 << 22);
    request_len = f ? fread(request, 1, 1 << 22, f) : 0;
    if (!request_len || total_conns > MAX_CONNS) return 2;
    conns = calloc((size_t)total_conns, sizeof *conns);
    ttfb = malloc(MAX_TIMES * sizeof *ttfb), total = malloc(MAX_TIMES * sizeof *total);
    ep = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start = now_us();
    deadline = start + (uint64_t)(seconds * 1e6);
    uint64_t give_up = deadline + 15000000;
    for (int i = 0; i < total_conns; i++) {
        if (open_conn(&conns[i], i)) {
            errors++;
            continue;
        }
        begin(&conns[i]);
    }
    struct epoll_event events[512];
    while (running && now_us() < give_up) {
        int n = epoll_wait(ep, events, 512, 1000);
        for (int i = 0; i < n; i++) {
            Conn *c = &conns[events[i].data.u32];
            if (c->fd < 0) continue;
            if (events[i].events & EPOLLOUT) send_more(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
        }
    }
    double took = (double)(now_us() - start) / 1e6;
    qsort(ttfb, (size_t)(done < MAX_TIMES ? done : MAX_TIMES), sizeof *ttfb, by_value);
    qsort(total, (size_t)(done < MAX_TIMES ? done : MAX_TIMES), sizeof *total, by_value);
    printf("{\"done\":%ld,\"errors\":%ld,\"unfinished\":%d,\"not_200\":%ld,\"seconds\":%.3f,\"bytes\":%lu,"
           "\"body_min\":%lu,\"body_max\":%lu,\"ttfb_p50\":%u,\"ttfb_p99\":%u,\"total_p50\":%u,\"total_p99\":%u}\n",
           done, errors, running, statuses_bad, took, (unsigned long)bytes,
           (unsigned long)(done ? body_min : 0), (unsigned long)body_max,
           share(ttfb, .5), share(ttfb, .99), share(total, .5), share(total, .99));
    return 0;
}
