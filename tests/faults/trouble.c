/* What a kernel does to a process on a bad day: its clock jumps, its disk is slow or fails.
 * Does not choose when: three numbers in a file that both sides map say what is wrong now. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct trouble {
  volatile int64_t clock_us;
  volatile int64_t sync_ms;
  volatile int64_t sync_errno;
};

static struct trouble none;
static struct trouble *now_is = &none;
static int (*true_clock)(clockid_t, struct timespec *);
static int (*true_fdatasync)(int);
static int (*true_fsync)(int);

__attribute__((constructor)) static void begin(void) {
  true_clock = dlsym(RTLD_NEXT, "clock_gettime");
  true_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  true_fsync = dlsym(RTLD_NEXT, "fsync");
  const char *file = getenv("P402_TROUBLE");
  int open_file = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
  if (open_file < 0) return;
  void *told = mmap(NULL, sizeof(none), PROT_READ, MAP_SHARED, open_file, 0);
  if (told != MAP_FAILED) now_is = told;
  close(open_file);
}

int clock_gettime(clockid_t which, struct timespec *at) {
  int done = true_clock(which, at);
  if (done != 0 || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return done;
  int64_t nanos = at->tv_nsec + (now_is->clock_us % 1000000) * 1000;
  at->tv_sec += now_is->clock_us / 1000000;
  if (nanos < 0) nanos += 1000000000, at->tv_sec--;
  if (nanos >= 1000000000) nanos -= 1000000000, at->tv_sec++;
  at->tv_nsec = nanos;
  return 0;
}

static int synced(int (*sync)(int), int file) {
  struct timespec wait = {now_is->sync_ms / 1000, now_is->sync_ms % 1000 * 1000000};
  if (now_is->sync_ms > 0) nanosleep(&wait, NULL);
  if (now_is->sync_errno == 0) return sync(file);
  errno = (int)now_is->sync_errno;
  return -1;
}

int fdatasync(int file) { return synced(true_fdatasync, file); }
int fsync(int file) { return synced(true_fsync, file); }
