/* A stand-in for libnvidia-ml.so.1, for tests on machines without NVIDIA devices: the calls that Modelyard
 * makes, answered from the text file that FAKE_NVML names. The file is read at every call. Its lines:
 *   driver VERSION CUDA                      as in: driver 580.65.06 13000
 *   gpu UUID TOTAL USED BUSY HEAT MILLIWATTS LIMIT_MILLIWATTS MAJOR MINOR NAME
 *   unified | lost                           of the gpu above: has no memory of its own, fell off the bus
 *   part UUID TOTAL NAME                     of the gpu above, which is in MIG mode
 *   process PID BYTES                        of the gpu or part above; -1 bytes: not told
 *   graphics PID BYTES
 * Layouts of structures: NVML's public header, as nvidia-ml-py declares them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NOT_LOADED = 9, LOST = 15 };
enum { MOST = 64 };

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { int graphics; Process info; } Held;
typedef struct Device {
    char uuid[96], name[96];
    unsigned long long total, used;
    unsigned busy, heat, milliwatts, limit;
    int major, minor, unified, lost, parts, part, held_count;
    Held held[MOST];
} Device;

static char driver[80];
static int cuda;
static Device *devices[MOST];
static int count;

static Device *made(void) {
    if (count == MOST) exit(70);
    if (!devices[count]) devices[count] = malloc(sizeof(Device));
    memset(devices[count], 0, sizeof(Device));
    return devices[count++];
}

static void end_line(char *text) { text[strcspn(text, "\n")] = 0; }

/* Devices keep their addresses between readings, so handles stay good. */
static int look(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], word[16];
    Device *gpu = NULL, *last = NULL;
    if (!file) return NOT_LOADED;
    count = 0;
    while (fgets(line, sizeof line, file)) {
        end_line(line);
        if (sscanf(line, "%15s", word) != 1) continue;
        if (!strcmp(word, "driver")) sscanf(line, "driver %79s %d", driver, &cuda);
        if (!strcmp(word, "gpu")) {
            gpu = last = made();
            sscanf(line, "gpu %95s %llu %llu %u %u %u %u %d %d %95[^\n]", gpu->uuid, &gpu->total, &gpu->used,
                   &gpu->busy, &gpu->heat, &gpu->milliwatts, &gpu->limit, &gpu->major, &gpu->minor, gpu->name);
        }
        if (!strcmp(word, "unified") && gpu) gpu->unified = 1;
        if (!strcmp(word, "lost") && gpu) gpu->lost = 1;
        if (!strcmp(word, "part") && gpu) {
            last = made();
            last->part = 1;
            gpu->parts++;
            sscanf(line, "part %95s %llu %95[^\n]", last->uuid, &last->total, last->name);
        }
        if ((!strcmp(word, "process") || !strcmp(word, "graphics")) && last && last->held_count < MOST) {
            Held *held = &last->held[last->held_count++];
            long long used = 0;
            held->graphics = *word == 'g';
            sscanf(line, "%*s %u %lld", &held->info.pid, &used);
            held->info.used = (unsigned long long)used;
        }
    }
    fclose(file);
    return OK;
}

static int whole(int index) {
    for (int at = 0; at < count; at++)
        if (!devices[at]->part && index-- == 0) return at;
    return -1;
}

static int of(Device *device) {
    int status = look();
    if (status) return status;
    return device->lost ? LOST : OK;
}

static int put(char *to, const char *text, unsigned size) {
    if (strlen(text) >= size) return TOO_SMALL;
    strcpy(to, text);
    return OK;
}

#define ASK(device) int status = of(device); if (status) return status

int nvmlInitWithFlags(unsigned flags) { (void)flags; return look(); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "an error of the stand-in"; }

int nvmlSystemGetDriverVersion(char *to, unsigned size) { int s = look(); return s ? s : put(to, driver, size); }
int nvmlSystemGetCudaDriverVersion(int *to) { int s = look(); *to = cuda; return s; }

int nvmlDeviceGetCount_v2(unsigned *to) {
    int status = look();
    *to = 0;
    for (int at = 0; at < count; at++) *to += !devices[at]->part;
    return status;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **to) {
    int status = look(), at = whole((int)index);
    if (status) return status;
    if (at < 0) return INVALID;
    *to = devices[at];
    return devices[at]->lost ? LOST : OK;
}

int nvmlDeviceGetName(Device *d, char *to, unsigned size) { ASK(d); return put(to, d->name, size); }
int nvmlDeviceGetUUID(Device *d, char *to, unsigned size) { ASK(d); return put(to, d->uuid, size); }

int nvmlDeviceGetMemoryInfo(Device *d, Memory *to) {
    ASK(d);
    if (d->unified) return NOT_SUPPORTED;
    to->total = d->total; to->used = d->used; to->free = d->total - d->used;
    return OK;
}

int nvmlDeviceGetUtilizationRates(Device *d, Utilization *to) {
    ASK(d);
    if (d->part || d->parts) return NOT_SUPPORTED;
    to->gpu = d->busy; to->memory = 0;
    return OK;
}

int nvmlDeviceGetTemperature(Device *d, int sensor, unsigned *to) { (void)sensor; ASK(d); *to = d->heat; return OK; }
int nvmlDeviceGetPowerUsage(Device *d, unsigned *to) { ASK(d); *to = d->milliwatts; return OK; }

int nvmlDeviceGetEnforcedPowerLimit(Device *d, unsigned *to) {
    ASK(d);
    if (!d->limit) return NOT_SUPPORTED;
    *to = d->limit;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(Device *d, int *major, int *minor) {
    ASK(d);
    *major = d->major; *minor = d->minor;
    return OK;
}

int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) {
    ASK(d);
    *current = *pending = d->parts > 0;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *to) { (void)d; *to = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, unsigned index, Device **to) {
    ASK(d);
    if ((int)index >= d->parts) return NOT_FOUND;
    for (int at = 0; at < count; at++)
        if (devices[at] == d) *to = devices[at + 1 + (int)index];
    return OK;
}

static int processes(Device *d, int graphics, unsigned *size, Process *to) {
    ASK(d);
    unsigned room = *size;
    *size = 0;
    for (int at = 0; at < d->held_count; at++) {
        if (d->held[at].graphics != graphics) continue;
        if (to && *size < room) to[*size] = d->held[at].info;
        ++*size;
    }
    return *size > room ? TOO_SMALL : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, unsigned *n, Process *to) { return processes(d, 0, n, to); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *d, unsigned *n, Process *to) { return processes(d, 1, n, to); }
