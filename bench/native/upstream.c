/* A provider that costs next to nothing: one epoll loop, answers prepared in advance.
 *
 *   upstream PORT          (0: a free one; prints "listening PORT")
 *
 * POST with "stream":true in the body: server-sent events, chunked. "chunks":"N" and "gap_us":"N" in the body
 * say how many and how far apart in the mean, half to one and a half times that, so that streams do not march in
 * step (gap 0: everything in one write). Usage comes on the last event.
 * Any other POST or GET: a chat completion of 983 bytes with usage. /v1/traces and /v1/metrics: an empty 200. */
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
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BODY 983
#define MAX_CONNS 65536

typedef struct {
    int fd, left, index; /* left: events still to send; index: place in the heap, -1 if none */
    uint64_t due, gap;
    char *in, *out;
    size_t in_len, in_cap, out_len, out_at, out_cap;
} Conn;

static Conn *conns[MAX_CONNS];
static Conn *heap[MAX_CONNS];
static int heap_len, ep, timer;
static const char *const words[] = {" tonnes", " of", " gravel", ",", " weighed", " 40", " times", "\\n"};
#define WORDS (sizeof words / sizeof *words)
static char json_answer[2048], event_chunk[WORDS][1100], last_chunk[2048];
static int json_len, event_len[WORDS], last_len;
static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "x-request-id: req_bench\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char empty_answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t jittered(uint64_t gap) {
    static uint64_t state = 88172645463325252u; /* xorshift: the same run every time */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return gap / 2 + state % (gap + 1);
}

/* ---- what is answered */

static int frame(char *to, const char *data) {
    return sprintf(to, "%zx\r\n%s\r\n", strlen(data), data);
}

static void prepare(void) {
    const char *usage = "\"usage\":{\"prompt_tokens\":187,\"completion_tokens\":100,\"total_tokens\":287,"
        "\"prompt_tokens_details\":{\"cached_tokens\":64,\"audio_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
        "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}";
    const char *front = "{\"id\":\"chatcmpl-bench0000000000000000000000\",\"object\":\"chat.completion\","
        "\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":"
        "{\"role\":\"assistant\",\"content\":\"";
    const char *mid = "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],";
    const char *back = ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\"}";
    int pad = BODY - (int)(strlen(front) + strlen(mid) + strlen(usage) + strlen(back));
    char text[BODY + 1];
    for (int i = 0; i < pad; i++) text[i] = i % 6 == 5 ? ' ' : 'a' + i % 26;
    text[pad] = 0;
    json_len = sprintf(json_answer, "HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\nx-request-id: req_bench\r\n"
        "openai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 9999\r\n\r\n%s%s%s%s%s",
        BODY, front, text, mid, usage, back);
    const char *chunk_front = "data: {\"id\":\"chatcmpl-bench0000000000000000000000\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o-mini-2024-07-18\","
        "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",";
    char data[1024];
    for (size_t i = 0; i < WORDS; i++) {
        sprintf(data, "%s\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,"
            "\"finish_reason\":null}],\"usage\":null}\n\n", chunk_front, words[i]);
        event_len[i] = frame(event_chunk[i], data);
    }
    sprintf(data, "%s\"choices\":[],%s}\n\ndata: [DONE]\n\n", chunk_front, usage);
    last_len = frame(last_chunk, data);
    last_len += sprintf(last_chunk + last_len, "0\r\n\r\n");
}

/* ---- heap of due times */

static void swap(int a, int b) {
    Conn *c = heap[a];
    heap[a] = heap[b], heap[b] = c;
    heap[a]->index = a, heap[b]->index = b;
}

static void up(int i) {
    for (; i && heap[i]->due < heap[(i - 1) / 2]->due; i = (i - 1) / 2) swap(i, (i - 1) / 2);
}

static void down(int i) {
    for (;;) {
        int least = i, l = 2 * i + 1;
        if (l < heap_len && heap[l]->due < heap[least]->due) least = l;
        if (l + 1 < heap_len && heap[l + 1]->due < heap[least]->due) least = l + 1;
        if (least == i) return;
        swap(i, least);
        i = least;
    }
}

static void push(Conn *c) {
    heap[heap_len] = c;
    c->index = heap_len;
    up(heap_len++);
}

static void drop(Conn *c) {
    int i = c->index;
    if (i < 0) return;
    c->index = -1;
    Conn *last = heap[--heap_len];
    if (last == c) return;
    heap[i] = last;
    last->index = i;
    up(i);
    down(last->index);
}

static void arm(void) {
    struct itimerspec t = {0};
    if (heap_len) {
        uint64_t now = now_us(), in = heap[0]->due > now ? heap[0]->due - now : 1;
        t.it_value.tv_sec = in / 1000000;
        t.it_value.tv_nsec = in % 1000000 * 1000;
    }
    timerfd_settime(timer, 0, &t, NULL);
}

/* ---- connections */

static void close_conn(Conn *c) {
    drop(c);
    conns[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static int flush_out(Conn *c) {
    while (c->out_at < c->out_len) {
        ssize_t n = write(c->fd, c->out + c->out_at, c->out_len - c->out_at);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_len = 0;
    return 0;
}

static void put(Conn *c, const char *data, size_t len) {
    if (c->out_len + len > c->out_cap) {
        c->out_cap = (c->out_len + len) * 2;
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
}

static int number(const char *body, size_t len, const char *name, int otherwise) {
    char *at = memmem(body, len, name, strlen(name));
    return at ? atoi(at + strlen(name)) : otherwise;
}

static void next_event(Conn *c) {
    size_t word = (size_t)c->left % WORDS;
    put(c, event_chunk[word], (size_t)event_len[word]);
    if (--c->left == 0) put(c, last_chunk, (size_t)last_len);
}

static void answer(Conn *c, const char *body, size_t len) {
    if (!memcmp(c->in, "POST /v1/traces", 15) || !memcmp(c->in, "POST /v1/metrics", 16)) {
        put(c, empty_answer, sizeof empty_answer - 1);
        return;
    }
    if (!memmem(body, len, "\"stream\":true", 13)) {
        put(c, json_answer, (size_t)json_len);
        return;
    }
    c->left = number(body, len, "\"chunks\":\"", 100);
    c->gap = (uint64_t)number(body, len, "\"gap_us\":\"", 0);
    put(c, stream_head, sizeof stream_head - 1);
    next_event(c);
    while (!c->gap && c->left) next_event(c);
    if (c->left) {
        c->due = now_us() + jittered(c->gap);
        push(c);
    }
}

/* Length of the first complete request in the buffer, 0 if there is none yet. */
static size_t request_end(Conn *c, size_t *body_at) {
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - c->in) + 4, want = 0;
    *body_at = head;
    for (char *line = c->in; line < end; line = memmem(line, (size_t)(end - line) + 2, "\r\n", 2) + 2) {
        if (!strncasecmp(line, "content-length:", 15)) want = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding:", 18)) {
            char *last = memmem(c->in + head, c->in_len - head, "0\r\n\r\n", 5);
            return last ? (size_t)(last - c->in) + 5 : 0;
        }
    }
    return c->in_len >= head + want ? head + want : 0;
}

static int readable(Conn *c) {
    for (;;) {
        if (c->in_cap - c->in_len < 8192) c->in = realloc(c->in, c->in_cap = c->in_cap * 2 + 16384);
        ssize_t n = read(c->fd, c->in + c->in_len, c->in_cap - c->in_len);
        if (n == 0) return -1;
        if (n < 0) {
            if (errno == EAGAIN) break;
            return -1;
        }
        c->in_len += (size_t)n;
        if (c->in_len < c->in_cap) break;
    }
    size_t end, body;
    while (!c->left && (end = request_end(c, &body))) {
        answer(c, c->in + body, end - body);
        memmove(c->in, c->in + end, c->in_len - end);
        c->in_len -= end;
    }
    return flush_out(c);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_CONNS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Conn *c = conns[fd] = calloc(1, sizeof *c);
        c->fd = fd, c->index = -1;
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    }
}

static void timed(void) {
    uint64_t count, now;
    if (read(timer, &count, sizeof count) < 0 && errno != EAGAIN) return;
    now = now_us();
    while (heap_len && heap[0]->due <= now) {
        Conn *c = heap[0];
        drop(c);
        next_event(c);
        if (c->left) {
            c->due += jittered(c->gap);
            push(c);
        }
        if (flush_out(c) < 0) close_conn(c);
    }
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    prepare();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? (uint16_t)atoi(argv[1]) : 0)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof a;
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4096) || getsockname(listener, (void *)&a, &size)) {
        perror("listen");
        return 1;
    }
    printf("listening %d\n", ntohs(a.sin_port));
    fflush(stdout);
    ep = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    e.data.fd = timer;
    epoll_ctl(ep, EPOLL_CTL_ADD, timer, &e);
    struct epoll_event events[512];
    for (;;) {
        int n = epoll_wait(ep, events, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all(listener);
            else if (fd == timer) timed();
            else if (conns[fd]) {
                Conn *c = conns[fd];
                int bad = events[i].events & (EPOLLERR | EPOLLHUP) ? -1 : 0;
                if (!bad && events[i].events & EPOLLOUT) bad = flush_out(c);
                if (!bad && events[i].events & EPOLLIN) bad = readable(c);
                if (bad) close_conn(c);
            }
        }
        arm();
    }
}
