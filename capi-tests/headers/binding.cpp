/*
 * binding.cpp -- what C++ bindings do with the C API: templates over TOIDs,
 * transactions without an environment that destructors and catch blocks close
 * by hand, callbacks with state, and threads.
 *
 *   binding POOL
 */
#include <libpmemobj.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			std::printf("%s:%d: %s (errno %d, %s)\n", __FILE__, __LINE__, #cond, errno, \
				pmemobj_errormsg()); \
			std::exit(1); \
		} \
	} while (0)

namespace
{

constexpr int THREADS = 4, ROUNDS = 150;

struct node;
struct word;
struct root;

POBJ_LAYOUT_BEGIN(binding);
POBJ_LAYOUT_ROOT(binding, struct root);
POBJ_LAYOUT_TOID(binding, struct node);
POBJ_LAYOUT_TOID(binding, struct word);
POBJ_LAYOUT_END(binding);

struct node {
	TOID(struct node) next;
	long value;
};

struct word {
	TOID(struct word) next;
	long value;
	char text[100];
};

struct root {
	PMEMmutex mutex;
	long total;
	TOID(struct node) nodes[THREADS];
	TOID(struct word) words[THREADS];
};

/* The stages that a transaction went through: the size of an array. */
using stages = std::array<int, MAX_TX_STAGE>;

void
count_stage(PMEMobjpool *, pobj_tx_stage stage, void *arg)
{
	(*static_cast<stages *>(arg))[stage]++;
}

struct tx_failed : std::runtime_error {
	using std::runtime_error::runtime_error;
};

/* A transaction as long as the object lives: rolled back unless committed. */
class scope
{
public:
	template <typename... Params>
	explicit scope(PMEMobjpool *pop, Params... params)
	{
		if (pmemobj_tx_begin(pop, nullptr, params..., TX_PARAM_NONE) != 0)
			throw tx_failed(pmemobj_errormsg());
	}

	scope(const scope &) = delete;

	~scope()
	{
		if (pmemobj_tx_stage() == TX_STAGE_WORK)
			pmemobj_tx_abort(ECANCELED);
		while (pmemobj_tx_stage() != TX_STAGE_NONE && pmemobj_tx_stage() != TX_STAGE_FINALLY)
			pmemobj_tx_process();
		(void)pmemobj_tx_end();
	}

	void
	commit()
	{
		pmemobj_tx_process();
	}
};

/* A function as a transaction: exceptions roll back and go on. */
void
run(PMEMobjpool *pop, const std::function<void()> &body)
{
	if (pmemobj_tx_begin(pop, nullptr, TX_PARAM_NONE) != 0)
		throw tx_failed(pmemobj_errormsg());
	try {
		body();
	} catch (...) {
		if (pmemobj_tx_stage() == TX_STAGE_WORK)
			pmemobj_tx_abort(ECANCELED);
		(void)pmemobj_tx_end();
		throw;
	}
	if (pmemobj_tx_stage() == TX_STAGE_WORK)
		pmemobj_tx_commit();
	int error = pmemobj_tx_end();
	if (error != 0)
		throw tx_failed(std::to_string(error));
}

/* A stack of any type with members next and value. */
template <typename Toid>
class stack
{
	Toid &head;

public:
	using object = TOID_TYPEOF(Toid());

	explicit stack(Toid &head) : head(head)
	{
	}

	void
	push(long value)
	{
		Toid made(pmemobj_tx_zalloc(sizeof(object), TOID_TYPE_NUM_OF(head)));
		if (TOID_IS_NULL(made))
			throw tx_failed(pmemobj_errormsg());
		D_RW(made)->next = head;
		D_RW(made)->value = value;
		TX_ADD_DIRECT(&head);
		head = made;
	}

	long
	pop()
	{
		if (TOID_IS_NULL(head))
			throw std::out_of_range("empty");
		long value = D_RO(head)->value;
		Toid old = head;
		TX_ADD_DIRECT(&head);
		head = D_RO(old)->next;
		CHECK(TX_FREE(old) == 0);
		return value;
	}

	long
	sum() const
	{
		long n = 0;
		for (Toid at = head; !TOID_IS_NULL(at); at = D_RO(at)->next)
			n += D_RO(at)->value;
		return n;
	}
};

template <typename Toid>
long
sum_of_all(PMEMobjpool *pop)
{
	Toid at = TOID_NULL(struct node).oid;
	long n = 0;

	POBJ_FOREACH_TYPE(pop, at)
		n += D_RO(at)->value;
	return n;
}

/* Some rounds succeed, some throw at different depths. */
void
work(PMEMobjpool *pop, struct root *r, int me)
{
	stack<TOID(struct node)> nodes(r->nodes[me]);
	stack<TOID(struct word)> words(r->words[me]);

	for (int i = 0; i < ROUNDS; i++) {
		bool thrown = false;
		try {
			scope tx(pop, TX_PARAM_MUTEX, &r->mutex);
			TX_SET_DIRECT(r, total, r->total + 3 * i);
			nodes.push(i);
			run(pop, [&] {
				words.push(2 * i);
				if (i % 5 == 1)
					throw std::string("inner");
			});
			if (i % 5 == 2)
				throw 7;
			if (i % 5 == 3)
				pmemobj_tx_abort(EDOM);
			else
				tx.commit();
		} catch (const std::string &) {
			thrown = i % 5 == 1;
		} catch (int n) {
			thrown = i % 5 == 2 && n == 7;
		}
		CHECK(thrown == (i % 5 == 1 || i % 5 == 2));
		CHECK(pmemobj_tx_stage() == TX_STAGE_NONE);
		/* half of them go again */
		if (i % 10 == 4)
			run(pop, [&] {
				CHECK(pmemobj_tx_lock(TX_PARAM_MUTEX, &r->mutex) == 0);
				TX_ADD_FIELD_DIRECT(r, total);
				r->total -= nodes.pop() + words.pop();
			});
	}
}

void
consistent(PMEMobjpool *pop, struct root *r)
{
	long nodes = 0, words = 0;

	for (auto &head : r->nodes)
		nodes += stack<TOID(struct node)>(head).sum();
	for (auto &head : r->words)
		words += stack<TOID(struct word)>(head).sum();
	CHECK(r->total == nodes + words);
	CHECK(words == 2 * nodes);
	CHECK(nodes == sum_of_all<TOID(struct node)>(pop));
	CHECK(words == sum_of_all<TOID(struct word)>(pop));
	std::printf("total %ld\n", r->total);
}

void
callbacks(PMEMobjpool *pop)
{
	stages seen{};

	try {
		scope tx(pop, TX_PARAM_CB, count_stage, &seen);
		pmemobj_tx_set_user_data(&seen);
		CHECK(pmemobj_tx_get_user_data() == &seen);
		throw 1;
	} catch (int) {
	}
	CHECK((seen == stages{1, 0, 0, 1, 1}));
	{
		scope tx(pop, TX_PARAM_CB, count_stage, &seen);
		tx.commit();
	}
	CHECK((seen == stages{2, 1, 1, 1, 2}));

	/* failures that return instead of aborting */
	run(pop, [&] {
		pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN);
		CHECK(OID_IS_NULL(pmemobj_tx_alloc(PMEMOBJ_MAX_ALLOC_SIZE, 1)) && errno == ENOMEM);
		CHECK(pmemobj_tx_stage() == TX_STAGE_WORK);
	});
}

} /* namespace */

int
main(int argc, char *argv[])
{
	CHECK(argc == 2);
	PMEMobjpool *pop = pmemobj_create(argv[1], POBJ_LAYOUT_NAME(binding), 4 * PMEMOBJ_MIN_POOL, 0600);
	CHECK(pop != nullptr);
	TOID(struct root) root = POBJ_ROOT(pop, struct root);

	callbacks(pop);
	std::vector<std::thread> threads;
	for (int i = 0; i < THREADS; i++)
		threads.emplace_back(work, pop, D_RW(root), i);
	for (auto &thread : threads)
		thread.join();
	consistent(pop, D_RW(root));
	pmemobj_close(pop);

	CHECK(pmemobj_check(argv[1], POBJ_LAYOUT_NAME(binding)) == 1);
	pop = pmemobj_open(argv[1], POBJ_LAYOUT_NAME(binding));
	CHECK(pop != nullptr);
	root = POBJ_ROOT(pop, struct root);
	consistent(pop, D_RW(root));
	pmemobj_close(pop);
	return 0;
}
