/* Prints a line of a word and a number. */
void say(const char *word, int number);

/* Waits for a line of input. Exits at the end of the input. */
void await_line(void);

/* subject_hold.c */
void callback(void);
void hold(void);
void held_fork(void);
void reaper(void);

/* subject_wait.c */
void childless(void);
void forks(void);
void waits(void);
void cancelled(void);

/* subject_reap.c */
void told(void);
void outlived(void);
