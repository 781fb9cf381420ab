/* SPDX-License-Identifier: MIT */
/* unload PLUGIN: unloads a plugin while the name look-up that it began goes on, and then lets the look-up end. */
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static sem_t begun, may_end;

/* libpq finds this one, for the program's own names come first. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    (void)name, (void)service, (void)hints, (void)found;
    sem_post(&begun);
    sem_wait(&may_end);
    return EAI_NONAME;
}

static void looking_up(void) {
    sem_wait(&begun);
}

static int thread_count(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

int main(int argc, char **argv) {
    sem_init(&begun, 0, 0);
    sem_init(&may_end, 0, 0);
    void *object = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*plugin)(void (*)(void)) = NULL;
    if (object)
        *(void **)&plugin = dlsym(object, "plugin");
    if (!plugin || plugin(looking_up)) {
        fprintf(stderr, "there is no plugin, or it does not work\n");
        return 1;
    }
    dlclose(object);
    sem_post(&may_end);
    while (thread_count() > 1)
        usleep(1000);
    return 0;
}
