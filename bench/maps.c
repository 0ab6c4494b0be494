/*
 * maps.c - two maps over the transactional API, as applications write them: a
 * hash map with chains, and a B-tree.
 */
#include "bench.h"

static void *
at(PMEMoid oid)
{
	return pmemobj_direct(oid);
}

/* --- hash map --- */

#define BUCKETS 4096

struct entry {
	uint64_t key;
	uint64_t value[4];
	PMEMoid next;
};

struct hashmap {
	uint64_t count;
	PMEMoid buckets[BUCKETS];
};

static PMEMoid *
hash_find(struct hashmap *m, uint64_t key)
{
	PMEMoid *link = &m->buckets[key * 0x9e3779b97f4a7c15 >> 52];
	while (!OID_IS_NULL(*link) && ((struct entry *)at(*link))->key != key)
		link = &((struct entry *)at(*link))->next;
	return link;
}

static void
hash_insert(struct worker *w, struct hashmap *m, PMEMoid *link, uint64_t key)
{
	TX(w->pop) {
		PMEMoid oid = pmemobj_tx_zalloc(sizeof(struct entry), 10);
		struct entry *e = at(oid);
		e->key = key;
		pmemobj_tx_add_range_direct(link, sizeof(*link));
		*link = oid;
		pmemobj_tx_add_range_direct(&m->count, 8);
		m->count++;
	} TX_OR_DIE
}

static void
hash_remove(struct worker *w, struct hashmap *m, PMEMoid *link)
{
	TX(w->pop) {
		PMEMoid gone = *link;
		pmemobj_tx_add_range_direct(link, sizeof(*link));
		*link = ((struct entry *)at(gone))->next;
		pmemobj_tx_add_range_direct(&m->count, 8);
		m->count--;
		pmemobj_tx_free(gone);
	} TX_OR_DIE
}

static struct hashmap *
hash_open(struct worker *w)
{
	if (OID_IS_NULL(w->area->map) &&
	    pmemobj_zalloc(w->pop, &w->area->map, sizeof(struct hashmap), 11) != 0)
		die("pmemobj_zalloc");
	return at(w->area->map);
}

/* Random keys: what is there goes, what is not comes. */
static void
map_hash(struct worker *w)
{
	struct hashmap *m = hash_open(w);
	for (size_t i = 0; i < w->ops; i++) {
		uint64_t key = next_random(&w->random) % (2 * BUCKETS);
		PMEMoid *link = hash_find(m, key);
		if (OID_IS_NULL(*link))
			hash_insert(w, m, link, key);
		else
			hash_remove(w, m, link);
	}
}

static void
map_hash_update(struct worker *w)
{
	struct hashmap *m = hash_open(w);
	for (size_t i = 0; i < w->ops; i++) {
		uint64_t key = next_random(&w->random) % BUCKETS;
		PMEMoid *link = hash_find(m, key);
		if (OID_IS_NULL(*link))
			hash_insert(w, m, link, key);
		struct entry *e = at(*link);
		TX(w->pop) {
			pmemobj_tx_add_range_direct(e->value, sizeof(e->value));
			e->value[i % 4] = i;
		} TX_OR_DIE
	}
}

/* --- B-tree --- */

#define KEYS 15

struct node {
	uint64_t n;
	uint64_t keys[KEYS];
	uint64_t values[KEYS];
	PMEMoid children[KEYS + 1]; /* null in a leaf */
};

static void
snapshot(struct node *n)
{
	pmemobj_tx_add_range_direct(n, sizeof(*n));
}

static void
split(struct node *parent, size_t i)
{
	struct node *left = at(parent->children[i]);
	PMEMoid oid = pmemobj_tx_zalloc(sizeof(struct node), 12);
	struct node *right = at(oid);
	size_t half = KEYS / 2;

	snapshot(left);
	snapshot(parent);
	right->n = KEYS - half - 1;
	memcpy(right->keys, left->keys + half + 1, right->n * 8);
	memcpy(right->values, left->values + half + 1, right->n * 8);
	memcpy(right->children, left->children + half + 1, (right->n + 1) * sizeof(PMEMoid));
	left->n = half;
	memmove(parent->keys + i + 1, parent->keys + i, (parent->n - i) * 8);
	memmove(parent->values + i + 1, parent->values + i, (parent->n - i) * 8);
	memmove(parent->children + i + 2, parent->children + i + 1, (parent->n - i) * sizeof(PMEMoid));
	parent->keys[i] = left->keys[half];
	parent->values[i] = left->values[half];
	parent->children[i + 1] = oid;
	parent->n++;
}

static size_t
position(const struct node *n, uint64_t key)
{
	size_t i = 0;
	while (i < n->n && n->keys[i] < key)
		i++;
	return i;
}

/* Into a node that is not full. */
static void
tree_insert(struct node *n, uint64_t key, uint64_t value)
{
	for (;;) {
		size_t i = position(n, key);
		if (i < n->n && n->keys[i] == key) {
			pmemobj_tx_add_range_direct(&n->values[i], 8);
			n->values[i] = value;
			return;
		}
		if (OID_IS_NULL(n->children[0])) {
			snapshot(n);
			memmove(n->keys + i + 1, n->keys + i, (n->n - i) * 8);
			memmove(n->values + i + 1, n->values + i, (n->n - i) * 8);
			n->keys[i] = key;
			n->values[i] = value;
			n->n++;
			return;
		}
		if (((struct node *)at(n->children[i]))->n == KEYS)
			split(n, i);
		else
			n = at(n->children[i]);
	}
}

static void
tree_free(PMEMoid oid)
{
	struct node *n = at(oid);
	for (size_t i = 0; !OID_IS_NULL(n->children[0]) && i <= n->n; i++)
		tree_free(n->children[i]);
	pmemobj_free(&oid);
}

static void
map_btree(struct worker *w)
{
	PMEMoid *root = &w->area->oid[0];

	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) {
			if (OID_IS_NULL(*root)) {
				pmemobj_tx_add_range_direct(root, sizeof(*root));
				*root = pmemobj_tx_zalloc(sizeof(struct node), 12);
			} else if (((struct node *)at(*root))->n == KEYS) {
				PMEMoid top = pmemobj_tx_zalloc(sizeof(struct node), 12);
				struct node *t = at(top);
				t->children[0] = *root;
				pmemobj_tx_add_range_direct(root, sizeof(*root));
				*root = top;
				split(t, 0);
			}
			tree_insert(at(*root), next_random(&w->random), i);
		} TX_OR_DIE
	}
	tree_free(*root);
	*root = OID_NULL;
	pmemobj_persist(w->pop, root, sizeof(*root));
}

const struct scenario maps[] = {
	{"map_hash", map_hash, 0, 20000, 16, 0},
	{"map_hash_update", map_hash_update, 0, 30000, 16, 0},
	{"map_btree", map_btree, 0, 15000, 16, 0},
	{NULL, NULL, 0, 0, 0, 0},
};
