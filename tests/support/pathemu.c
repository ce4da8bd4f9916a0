/* SPDX-License-Identifier: MIT */
/* pathemu - joins pairs of Ethernet interfaces and emulates the path between them: delay, rate,
 * queue, loss, middleboxes.
 *
 *   pathemu NAME:IFA:IFB[:key=value]...  ...
 *
 * Keys: delay=MS (one way), rate=MBIT (0 unlimited), queue=KIB, loss=PERCENT, cut=0|1,
 * synstrip=0|1 (payload of SYNs is removed), syndrop=0|1 (SYNs with payload are dropped),
 * mpstrip=0|1 (MPTCP options become NOPs), dropsyn=N (the N-th SYN from now is dropped), seed=N
 * (start only). They hold for both directions.
 *
 * It says {"ready":true} on standard output, then obeys lines on standard input, each answered
 * by one line of JSON: set NAME key=value...      both directions; NAME.up is IFA to IFB only,
 * NAME.down the other cut NAME | restore NAME    a cut path also loses what is under way stats
 * counters of every direction End of input ends the program, so it never outlives the test that
 * started it.
 *
 * Frames travel with their virtio_net_hdr (PACKET_VNET_HDR): super-packets and partial
 * checksums pass unharmed. For packet- accurate rates and losses set gso_max_segs 1 on the end
 * hosts' interfaces. Needs CAP_NET_RAW only. */
#include "lane.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    LINKS_MAX = 8,
    FRAME_MAX = 65536 + 256,
    NAME_MAX_LEN = 31,
    COMMAND_MAX = 512,
    FRAMES_PER_TURN = 64, /* so that one direction cannot starve the other */
    SOCKET_BUFFER = 8 << 20,
};

struct path {
    char name[NAME_MAX_LEN + 1];
    struct lane up, down;
};

struct bridge {
    struct path paths[LINKS_MAX];
    size_t count;
    char input[COMMAND_MAX];
    size_t input_len;
    uint8_t frame[sizeof(struct virtio_net_hdr) + FRAME_MAX];
};

static int64_t clock_ns(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
        abort();
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int open_interface(const char *name)
{
    int one = 1, size = SOCKET_BUFFER;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct packet_mreq promiscuous = {.mr_type = PACKET_MR_PROMISC};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    at.sll_ifindex = promiscuous.mr_ifindex = (int)if_nametoindex(name);
    if (fd < 0 || at.sll_ifindex == 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) !=
            0) {
        (void)fprintf(stderr, "pathemu: %s: %s\n", name, strerror(errno));
        exit(EXIT_FAILURE);
    }
    /* Larger buffers are a comfort; the unprivileged limit does as well. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fd;
}

static bool set_number(struct lane_settings *s, const char *key, double v)
{
    if (strcmp(key, "delay") == 0)
        s->delay_ms = v;
    else if (strcmp(key, "rate") == 0)
        s->rate_mbit = v;
    else if (strcmp(key, "queue") == 0)
        s->queue_kib = v;
    else if (strcmp(key, "loss") == 0)
        s->loss_percent = v;
    else if (strcmp(key, "dropsyn") == 0)
        s->rules.drop_syn = (unsigned)v;
    else
        return false;
    return true;
}

static bool set_switch(struct lane_settings *s, const char *key, bool on)
{
    if (strcmp(key, "cut") == 0)
        s->cut = on;
    else if (strcmp(key, "synstrip") == 0)
        s->rules.strip_syn_data = on;
    else if (strcmp(key, "syndrop") == 0)
        s->rules.drop_syn_data = on;
    else if (strcmp(key, "mpstrip") == 0)
        s->rules.strip_mptcp = on;
    else
        return false;
    return true;
}

/* "key=value" */
static bool apply_setting(struct lane_settings *s, char *text, uint64_t *seed)
{
    char *value = strchr(text, '='), *end;

    if (value == NULL)
        return false;
    *value++ = '\0';
    double v = strtod(value, &end);

    if (end == value || *end != '\0' || v < 0 || v > 1e9)
        return false;
    if (strcmp(text, "seed") == 0) {
        *seed = (uint64_t)v;
        return true;
    }
    return set_number(s, text, v) || set_switch(s, text, v != 0);
}

static bool add_path(struct bridge *b, char *spec)
{
    struct lane_settings settings = {.queue_kib = 256};
    uint64_t seed = 1;
    char *rest = NULL, *name = strtok_r(spec, ":", &rest), *near = strtok_r(NULL, ":", &rest);
    char *far = strtok_r(NULL, ":", &rest);

    if (b->count == LINKS_MAX || far == NULL || strlen(name) > NAME_MAX_LEN)
        return false;
    for (char *word = strtok_r(NULL, ":", &rest); word != NULL;
         word = strtok_r(NULL, ":", &rest))
        if (!apply_setting(&settings, word, &seed))
            return false;
    struct path *p = &b->paths[b->count++];
    int near_fd = open_interface(near), far_fd = open_interface(far);

    (void)snprintf(p->name, sizeof p->name, "%s", name);
    lane_init(&p->up, near_fd, far_fd, &settings, seed);
    lane_init(&p->down, far_fd, near_fd, &settings, seed + 1);
    return true;
}

static void print_lane(const char *name, const char *way, const struct lane *l, bool first)
{
    const struct lane_counters *c = &l->counters;

    printf("%s\"%s.%s\":{\"frames\":%llu,\"octets\":%llu,\"lost\":%llu,\"overflow\":%llu,"
           "\"cut\":%llu,\"dropped\":%llu,"
           "\"edited\":%llu,\"failed\":%llu}",
           first ? "" : ",", name, way, (unsigned long long)c->frames,
           (unsigned long long)c->octets, (unsigned long long)c->lost,
           (unsigned long long)c->overflow, (unsigned long long)c->cut,
           (unsigned long long)c->dropped, (unsigned long long)c->edited,
           (unsigned long long)c->failed);
}

static void print_stats(const struct bridge *b)
{
    printf("{");
    for (size_t i = 0; i < b->count; i++) {
        print_lane(b->paths[i].name, "up", &b->paths[i].up, i == 0);
        print_lane(b->paths[i].name, "down", &b->paths[i].down, false);
    }
    printf("}\n");
}

static const char *apply_to_lane(struct lane *l, char *words)
{
    struct lane_settings next = l->settings;
    uint64_t seed = l->random_state;
    char *rest = NULL;

    for (char *word = strtok_r(words, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest))
        if (!apply_setting(&next, word, &seed))
            return "bad setting";
    l->settings = next;
    l->random_state = seed;
    if (next.cut)
        lane_flush(l);
    return NULL;
}

/* NULL, or what is wrong. */
static const char *set_path(struct bridge *b, const char *target, const char *settings)
{
    size_t len = strcspn(target, ".");
    bool up = target[len] == '\0' || strcmp(target + len, ".up") == 0;
    bool down = target[len] == '\0' || strcmp(target + len, ".down") == 0;
    char words[COMMAND_MAX];
    const char *error = up || down ? NULL : "no such direction";

    for (size_t i = 0; i < b->count; i++) {
        struct path *p = &b->paths[i];

        if (strlen(p->name) != len || strncmp(p->name, target, len) != 0)
            continue;
        if (error == NULL && up) {
            (void)snprintf(words, sizeof words, "%s", settings);
            error = apply_to_lane(&p->up, words);
        }
        if (error == NULL && down) {
            (void)snprintf(words, sizeof words, "%s", settings);
            error = apply_to_lane(&p->down, words);
        }
        return error;
    }
    return "no such path";
}

static void obey(struct bridge *b, char *line)
{
    char *rest = NULL, *verb = strtok_r(line, " ", &rest), *target = strtok_r(NULL, " ", &rest);
    const char *error = "unknown command";

    if (verb != NULL && strcmp(verb, "stats") == 0) {
        print_stats(b);
        return;
    }
    if (verb != NULL && target != NULL) {
        if (strcmp(verb, "set") == 0)
            error = set_path(b, target, rest);
        else if (strcmp(verb, "cut") == 0)
            error = set_path(b, target, "cut=1");
        else if (strcmp(verb, "restore") == 0)
            error = set_path(b, target, "cut=0");
    }
    if (error != NULL)
        printf("{\"error\":\"%s\"}\n", error);
    else
        printf("{\"ok\":true}\n");
}

/* False at the end of input. */
static bool read_commands(struct bridge *b)
{
    ssize_t n = read(STDIN_FILENO, b->input + b->input_len, sizeof b->input - 1 - b->input_len);

    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    b->input_len += (size_t)n;
    b->input[b->input_len] = '\0';
    for (char *end; (end = strchr(b->input, '\n')) != NULL;) {
        *end = '\0';
        obey(b, b->input);
        b->input_len -= (size_t)(end + 1 - b->input);
        memmove(b->input, end + 1, b->input_len + 1);
    }
    return b->input_len < sizeof b->input - 1; /* a line that long is no command */
}

static void take_frames(struct bridge *b, struct lane *l, int64_t now_ns)
{
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        struct virtio_net_hdr vh;
        ssize_t n = read(l->in, b->frame, sizeof b->frame);

        if (n <= (ssize_t)sizeof vh)
            return; /* EAGAIN; ENETDOWN is not for ever */
        memcpy(&vh, b->frame, sizeof vh);
        if (!lane_accept(l, now_ns, &vh, b->frame + sizeof vh, (size_t)n - sizeof vh))
            l->counters.failed++;
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static void run(struct bridge *b)
{
    struct pollfd fds[1 + 2 * LINKS_MAX] = {{.fd = STDIN_FILENO, .events = POLLIN}};

    for (size_t i = 0; i < b->count; i++) {
        fds[1 + 2 * i] = (struct pollfd){.fd = b->paths[i].up.in, .events = POLLIN};
        fds[2 + 2 * i] = (struct pollfd){.fd = b->paths[i].down.in, .events = POLLIN};
    }
    for (;;) {
        int64_t now_ns = clock_ns(), next_ns = -1;

        for (size_t i = 0; i < b->count; i++) {
            struct path *p = &b->paths[i];

            take_frames(b, &p->up, now_ns);
            take_frames(b, &p->down, now_ns);
            next_ns = earlier(
                next_ns, earlier(lane_deliver(&p->up, now_ns), lane_deliver(&p->down, now_ns)));
        }
        int64_t wait_ns = next_ns < 0 ? 1000000000 : next_ns - clock_ns();
        struct timespec wait = {.tv_sec = 0, .tv_nsec = 0};

        if (wait_ns > 0)
            wait = (struct timespec){.tv_sec = wait_ns / 1000000000,
                                     .tv_nsec = wait_ns % 1000000000};
        if (ppoll(fds, 1 + 2 * b->count, &wait, NULL) < 0 && errno != EINTR)
            return;
        if ((fds[0].revents & (POLLIN | POLLHUP)) != 0 && !read_commands(b))
            return;
    }
}

int main(int argc, char **argv)
{
    static struct bridge b; /* too large for some stacks */

    for (int i = 1; i < argc; i++) {
        if (!add_path(&b, argv[i])) {
            (void)fprintf(stderr, "pathemu: bad path %d: NAME:IFA:IFB[:key=value]...\n", i);
            return EXIT_FAILURE;
        }
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* default slack: 50 us of jitter */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("{\"ready\":true}\n");
    run(&b);
    for (size_t i = 0; i < b.count; i++) {
        lane_done(&b.paths[i].up);
        lane_done(&b.paths[i].down);
    }
    return EXIT_SUCCESS;
}
