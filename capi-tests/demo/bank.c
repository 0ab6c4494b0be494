// A bank of two accounts in a pool: what a program against our headers looks like.
//
//   bank POOL show           both balances
//   bank POOL move AMOUNT    from Alice to Bob, in a transaction
//   bank POOL die AMOUNT     the same, but killed when Bob has not got it yet
#include <libpmemobj.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

POBJ_LAYOUT_BEGIN(bank);
POBJ_LAYOUT_ROOT(bank, struct accounts);
POBJ_LAYOUT_END(bank);

struct accounts {
	long alice, bob, opened;
};

static PMEMobjpool *open_or_create(const char *path) {
	PMEMobjpool *pop = pmemobj_open(path, POBJ_LAYOUT_NAME(bank));
	if (!pop)
		pop = pmemobj_create(path, POBJ_LAYOUT_NAME(bank), PMEMOBJ_MIN_POOL, 0600);
	if (!pop) {
		fprintf(stderr, "%s\n", pmemobj_errormsg());
		exit(1);
	}
	return pop;
}

static int move(PMEMobjpool *pop, TOID(struct accounts) accounts, long amount, int die) {
	volatile int status = 0;
	TX_BEGIN(pop) {
		TX_ADD(accounts);
		D_RW(accounts)->alice -= amount;
		if (die) {
			pmemobj_persist(pop, D_RW(accounts), sizeof(struct accounts));
			printf("Alice has paid %ld, Bob has not got it: killed here\n", amount);
			fflush(stdout);
			raise(SIGKILL);
		}
		D_RW(accounts)->bob += amount;
	} TX_ONABORT {
		fprintf(stderr, "the transaction was aborted: %s\n", pmemobj_errormsg());
		status = 1;
	} TX_END
	return status;
}

int main(int argc, char **argv) {
	if (argc < 3 || (strcmp(argv[2], "show") != 0 && argc < 4)) {
		fprintf(stderr, "usage: %s POOL show | move AMOUNT | die AMOUNT\n", argv[0]);
		return 2;
	}
	PMEMobjpool *pop = open_or_create(argv[1]);
	TOID(struct accounts) accounts = POBJ_ROOT(pop, struct accounts);
	int status = 0;
	if (!D_RO(accounts)->opened) {
		TX_BEGIN(pop) {
			TX_ADD(accounts);
			D_RW(accounts)->alice = D_RW(accounts)->bob = 100;
			D_RW(accounts)->opened = 1;
		} TX_END
	}
	if (strcmp(argv[2], "show") != 0)
		status = move(pop, accounts, atol(argv[3]), strcmp(argv[2], "die") == 0);
	printf("Alice %ld, Bob %ld\n", D_RO(accounts)->alice, D_RO(accounts)->bob);
	pmemobj_close(pop);
	return status;
}
