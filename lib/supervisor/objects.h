/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor holds: clients, sandboxes, their calls, what waits to be started; and how much of each. */
#ifndef NSBOX_SUPERVISOR_OBJECTS_H
#define NSBOX_SUPERVISOR_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "audit/auditor.h"
#include "audit/log.h"
#include "policy/policy.h"
#include "supervisor/link.h"
#include "supervisor/protocol.h"

/* Bounds on what clients can ask of one supervisor. */
#define MAX_SANDBOXES 4096u
#define MAX_CLIENTS 256u
#define MAX_CALLS 1024u /* at once in one sandbox, running and waiting */
#define MAX_POOL 256u
#define MAX_ARGS 65536u
#define MAX_EVENTS_WAITING 4096u
#define MAX_ANSWERS_WAITING 8192u /* for a client or a gateway: one that asks on and never reads is dropped */
#define MAX_POLICY (16u << 20)
/* A gateway waits for its secret sources; one that never ends would hang the caller. */
#define GATEWAY_READY_US (60u * 1000000u)
/* Of what calls ask for from inside, so that one cannot take what the others and the clients need. */
#define MAX_CONTROL_OF_CALL 16u	    /* connections */
#define MAX_CONTROL_OF_SANDBOX 256u /* connections */
#define MAX_CONTROL_ANSWERS 64u	    /* for one that never reads */
#define MAX_CHILDREN 512u	    /* calls at once in one sandbox that calls asked for */
#define MAX_DEPTH 8u		    /* the first call is at 0 */
#define MAX_REFUSALS 1000u	    /* each is a record; then the call may not ask any more */
/* Between TERM and KILL of a call that ran out of time. */
#define KILL_AFTER_US (5u * 1000000u)

struct supervisor;
struct sandbox;
struct call;
struct approvals;
struct found;
struct gateway_question;
struct watch;
struct change;
struct review;

/* A descriptor in the epoll set; a member of what it belongs to. */
struct source {
	int fd;
	uint32_t events; /* what epoll watches it for now */
	bool paused;	 /* nothing is read from it */
	void (*ready)(struct supervisor *s, struct source *source, uint32_t events);
};

/* The object that a source is the member of. */
#define SOURCE_OWNER(source, type, member) ((type *)(void *)((char *)(source) - offsetof(type, member)))

struct client {
	struct source source;
	struct supervisor *supervisor;
	struct client *next;
	struct link link;
	bool greeted;
	bool gone; /* freed at the end of the round: callers up the stack may hold it */
	struct sandbox *inside; /* a call of this sandbox is at the other end; NULL: an ordinary client */
	struct call *asker;	/* that call; NULL once it has ended, and then the client is gone */
	char *wanted; /* ",name,name,": events that it wants, NULL = all */
	uint64_t events_lost;
};

/* What a client asked to run. It waits in its sandbox for a prepared call, and then belongs to that. */
struct start {
	struct start *next;
	struct client *client; /* NULL: gone */
	uint32_t asked;	       /* number of the request */
	bool answered;
	char **argv, **env, *cwd;
	uint32_t flags, rows, columns; /* enum start_flag */
	uint64_t timeout_us, ttl_us;
	int stdio[3];
	char *template;		/* of MSG_START */
	uint32_t parent_number; /* of the call that asks for it, 0: a client does */
	/* call_grant.c: the call's authority; NULL: all of the policy */
	struct grant *grant;
	struct decided *decided; /* decided.c: what was computed of it before; NULL: nothing */
	struct buf paths; /* the rules of GUARDIAN_EXEC */
	struct buf covers; /* namespace/cover.h: what the call must be prepared with, alone */
	size_t seals_len;  /* of these, in front: what only a full call is given (call_paths.c) */
	struct call *own;  /* that call, until start has taken it */
	uint32_t n_paths, open_files;
	bool on_base; /* and of those that every grant has */
	char *decided_by; /* who let it start, NULL: nobody was asked */
	size_t n_env;	  /* without placeholders */
	bool shows;	  /* have the program shown, whatever was expected: it was another one, or agreed to elsewhere */
	struct shown *agreed; /* the program that may start without another question; NULL: none */
	uint32_t turn;	      /* struct call, when it has one before it has a call */
};

/* The program of a call, as its guardian found it (GUARDIAN_SHOWN). */
struct shown {
	char *path;
	bool fixed, script;
	bool copied; /* a sealed copy runs */
	uint64_t dev, ino, size, ctime_ns;
	bool read;
	uint8_t digest[AUDITOR_DIGEST]; /* once it was read */
};
#define MAX_DIGESTS 64u /* remembered of programs that no sandbox can write */
#define MAX_FOUND 16u	/* remembered of a sandbox: what a name led to */

/* One of the two pipes of a call whose output is kept. */
struct capture {
	struct source source;
	struct call *call;
	uint8_t stream;
};

enum call_state {
	CALL_PREPARING, /* its guardian and its placeholders are being made */
	CALL_PREPARED,
	CALL_ASKING,   /* its program is shown, and somebody decides whether it may start */
	CALL_STARTING, /* the guardian executes the command */
	CALL_RUNNING,
	CALL_LEFT,    /* the command has ended, what it left in the background goes on */
	CALL_CUTTING, /* all its processes are dead; the gateway cuts its connections */
	CALL_OVER,    /* and everybody was told: to be taken apart (pool_idle()) */
};

struct call {
	struct call *next;
	struct sandbox *sandbox;
	uint32_t number, address;
	uint64_t net_cookie; /* of its network namespace, by which its connections are known; 0: none of its own */
	uint32_t parent;	/* address of the call that asked for it, 0: a client did, or there is no gateway */
	uint32_t parent_number; /* its number, 0: a client did */
	uint32_t refusals;	/* of what it asked for */
	bool awaits_children;	/* it has ended but for the calls that it asked for */
	char id[64]; /* "" until a command has taken it */
	uint32_t turn; /* the number in it */
	bool noted; /* overlay/writers.h: that it began */
	bool scratched; /* it has, or will have, a layer of its own (overlay/scratch.h) */
	int scratch;	/* that, locked, once it runs; else -EBADF */
	bool held;  /* what it was granted has not left for the gateway yet, so its command does not either */
	bool full;
	enum call_state state;
	bool has_placeholders;
	char **placeholders;
	struct source guardian_source;
	struct link guardian;
	struct start *start;
	struct shown *shown;
	uint64_t question; /* to the auditor, 0: none is open */
	bool parked;	   /* a person is asked */
	struct start *promised; /* prepared for this one alone; NULL: for whoever comes */
	struct capture captures[2];
	uint64_t started_us; /* since the epoch */
	uint64_t deadline;   /* now_us() value, 0 = none */
	uint64_t ttl_at;     /* when its grant ends, 0 = with the call */
	bool timed_out, killed, expired, revoked;
	struct revoker *revokers; /* who hears of its end */
	uint32_t pending_signal; /* came while it was starting */
	bool sent; /* a packet has left it, so the gateway may know it */
	bool cut_asked; /* the gateway is cutting its connections */
	uint32_t exit_status, exit_signal;
};

enum sandbox_state { SANDBOX_STARTING, SANDBOX_READY, SANDBOX_ENDING, SANDBOX_REVIEWED /* review.c */, SANDBOX_STATES };
enum gateway_state { GATEWAY_NONE, GATEWAY_STARTING, GATEWAY_UP, GATEWAY_DEAD, GATEWAY_STATES };
enum { KIND_LIGHT, KIND_FULL, KIND_MAX };

/* What makes a sandbox a named one: its entry in the registry, held as long as it lives. */
struct named {
	char *name;
	int dir, lock, socket_dir, output;
	uint64_t output_size;
	struct source listener;
};

struct sandbox {
	struct sandbox *next;
	struct supervisor *supervisor;
	uint32_t number;
	char *id;
	enum sandbox_state state;
	struct client *client; /* who waits for the answer to CREATE or DESTROY, NULL = nobody */
	uint32_t request;
	struct policy *policy;
	int policy_fd;
	int layer; /* directory of its overlays, locked as long as they may be mounted; -EBADF: there are none */
	bool drops_layer; /* nobody wants what is in it */
	int working; /* directory with the working states of its overlays, O_PATH; -EBADF: none, or not there yet */
	struct watch *watch; /* of what the host would execute; NULL: nothing is writable */
	struct buf found_protected; /* elements of a JSON array */
	uint64_t look_again, look_due; /* when a child's end is reason enough for a look; when one was put off to, 0: none */
	struct audit_log *log;
	uint64_t created_us; /* since the epoch */
	struct named *named; /* NULL: lives as long as its client */
	const struct client *creator; /* of a named one, who has to complete its entry; NULL: gone */
	bool collapsed; /* its init, or a guardian, was killed */

	struct call *calls;
	struct start *waiting, **waiting_tail;
	struct decided *decided;
	uint32_t n_started; /* numbers of call ids */
	uint32_t next_address;
	uint32_t depth[KIND_MAX]; /* of the pool */
	bool depth_fixed;	  /* by the client */
	bool broken[KIND_MAX];	  /* the last preparation failed: not tried again before somebody asks */
	uint64_t pool_deadline;	  /* when the pool shrinks */
	uint64_t refill_deadline; /* when what was taken of it is made anew */

	bool launched; /* the launcher has made it, so it has to be told to end it */
	bool ended; /* the launcher has nothing of it any more */
	bool exit_recorded;

	enum gateway_state gateway;
	struct source gateway_source, gateway_exit;
	struct link gateway_link;
	int gateway_pidfd, gateway_quiet;
	bool gateway_loud; /* what is for gateway_quiet goes by the link */
	uint64_t gateway_deadline;

	struct auditor *auditor; /* NULL: the policy names none */
	struct source auditor_source;
	int auditor_pidfd;
	bool auditor_told;     /* what its hello led to is done */
	unsigned auditor_ops;  /* what it decides: as its first hello has it */
	uint64_t auditor_again, auditor_pause; /* after its end: when it is looked for, 0: not; and the pause before */
	char *auditor_failure; /* the first one */
	struct found *found[MAX_FOUND];
	uint32_t n_found; /* ever; the oldest gives way */
	struct gateway_question *asked;
	struct change *changes; /* of the policy, not done yet */
	uint32_t last_change;
	uint16_t ports[128]; /* that the gateway listens on, or will */
	size_t n_ports;
	struct approvals *approvals; /* NULL until somebody has to be asked */
	struct review *review; /* it has ended, and a commit of its changes is decided about; NULL: nothing of this */

	struct source control; /* where its calls ask for calls; fd < 0: nobody can tell them apart */
	uint64_t spent_us, spent_at; /* how long what they asked for kept the loop, less the time that has gone by since */
	uint64_t control_rests; /* until then nothing is read from them, 0: it is */
};

struct known_program {
	uint64_t dev, ino, size, ctime_ns;
	uint8_t digest[AUDITOR_DIGEST];
};

struct supervisor {
	int epoll;
	int helper_dir;
	struct client *clients;
	size_t n_clients;
	struct source launcher_source;
	struct link launcher;
	int launcher_pidfd;
	bool launcher_dead;
	bool done;
	bool named; /* it made a named sandbox: then it lives as long as that, else as long as its one client */
	bool scopes; /* Landlock bounds signals: light calls are possible */
	uint64_t net_cookie; /* of our own network namespace */
	uint64_t open_files; /* how many there can be; 0: not known */
	int spare_sock, spare_pidfd; /* a gateway started ahead of the first sandbox, -EBADF = none */
	struct sandbox *sandboxes;
	size_t n_sandboxes;
	struct known_program known[MAX_DIGESTS];
	uint32_t n_known; /* ever; the oldest gives way */
	uint32_t last_number; /* of sandboxes and calls; 0 is never used */
	uint64_t next_deadline; /* not later than the earliest, 0 = none */
	uint64_t control_resumes; /* until then nothing is read from calls, 0: it is */
	uint64_t listeners_resume; /* until then no client is let in, 0: they are */
	bool child_ended; /* so a call may be at its end too */
};

#endif
