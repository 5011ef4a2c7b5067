/* SPDX-License-Identifier: Apache-2.0
 * Replaying and auditing a ledger. The audit trusts nothing but the records: it makes the state again from
 * them, sums balances from the entries by themselves, and holds both, and the rules of escrow, against what
 * the ledger says. */
#include "market/ledger_i.h"

whet_status whet_ledger_replay(whet_ctx *ctx, const whet_record *records, int64_t n,
                               whet_ledger **out) {
    whet_ledger *made = NULL;
    WHET_TRY(whet_ledger_create(ctx, &made));
    whet_status status = WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < n; i++) {
        status = whet_ledger_apply(ctx, made, &records[i]);
        if (status != WHET_OK) status = whet_i_fail_at(ctx, status, "record %lld", (long long)i);
        if (status == WHET_OK && i % 4096 == 4095)
            status = whet_i_progress(ctx, "replay", i + 1, n);
    }
    if (status == WHET_OK)
        *out = made;
    else
        whet_ledger_destroy(ctx, made);
    return status;
}

/* ---- the parts of an audit ---------------------------------------------------------------------- */

static whet_status wrong(whet_ctx *ctx, const char *what, int64_t i, int64_t found,
                         int64_t expected) {
    return whet_i_fail(ctx, WHET_ERR_INTERNAL, "audit: %s %lld is %lld; expected %lld", what,
                       (long long)i, (long long)found, (long long)expected);
}

static bool same_deal(const whet_deal *a, const whet_deal *b) {
    return a->state == b->state && a->offer == b->offer && a->buyer == b->buyer &&
           a->deadline == b->deadline && a->held == b->held && a->tried == b->tried &&
           a->payment.price == b->payment.price && a->payment.buyer_pays == b->payment.buyer_pays &&
           a->payment.seller_gets == b->payment.seller_gets &&
           a->payment.broker_gets == b->payment.broker_gets && a->settled_at == b->settled_at &&
           a->previous == b->previous;
}

static whet_status check_same(whet_ctx *ctx, const whet_ledger *a, const whet_ledger *b) {
    if (a->n_agents != b->n_agents || a->n_offers != b->n_offers || a->n_deals != b->n_deals ||
        a->n_entries != b->n_entries)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL,
                           "audit: the records give other numbers of agents, offers, deals or "
                           "entries; expected the ledger's");
    for (int64_t i = 0; i < a->n_agents; i++) {
        const whet_wallet *x = &a->wallets[i], *y = &b->wallets[i];
        if (x->available != y->available)
            return wrong(ctx, "available of agent", i, x->available, y->available);
        if (x->held != y->held) return wrong(ctx, "held of agent", i, x->held, y->held);
        if (x->strikes != y->strikes)
            return wrong(ctx, "strikes of agent", i, x->strikes, y->strikes);
    }
    for (int64_t i = 0; i < a->n_offers; i++)
        if (a->offers[i].state != b->offers[i].state ||
            a->offers[i].last_deal != b->offers[i].last_deal)
            return wrong(ctx, "state of offer", i, a->offers[i].state, b->offers[i].state);
    for (int64_t i = 0; i < a->n_deals; i++)
        if (!same_deal(&a->deals[i], &b->deals[i]))
            return wrong(ctx, "state of deal", i, a->deals[i].state, b->deals[i].state);
    if (a->broker != b->broker) return wrong(ctx, "balance of broker", 0, a->broker, b->broker);
    if (a->treasury != b->treasury)
        return wrong(ctx, "balance of treasury", 0, a->treasury, b->treasury);
    if (a->outside != b->outside)
        return wrong(ctx, "balance of outside", 0, a->outside, b->outside);
    return WHET_OK;
}

/* Balances from the entries alone, in available [agents], held [deals], other [3]; none may fall below 0 on
 * the way, but outside. */
static whet_status sum_entries(whet_ctx *ctx, const whet_ledger *l, int64_t *available,
                               int64_t *held, int64_t *other) {
    int64_t sum = 0;
    for (int64_t i = 0; i < l->n_entries; i++) {
        const whet_entry *e = &l->entries[i];
        int64_t *balance = &other[0];
        if (e->account == WHET_ACCOUNT_AVAILABLE) balance = &available[e->owner];
        if (e->account == WHET_ACCOUNT_HELD) balance = &held[e->owner];
        if (e->account == WHET_ACCOUNT_BROKER) balance = &other[1];
        if (e->account == WHET_ACCOUNT_TREASURY) balance = &other[2];
        *balance += e->amount;
        sum += e->amount;
        const bool last = i + 1 == l->n_entries || l->entries[i + 1].record != e->record;
        if (last && sum != 0) return wrong(ctx, "sum of the entries of record", e->record, sum, 0);
        if (*balance < 0 && balance != &other[0])
            return wrong(ctx, "least balance by record", e->record, *balance, 0);
    }
    return WHET_OK;
}

static whet_status check_balances(whet_ctx *ctx, const whet_ledger *l, int64_t *available,
                                  int64_t *held, int64_t *other) {
    int64_t all = 0;
    WHET_TRY(sum_entries(ctx, l, available, held, other));
    for (int64_t i = 0; i < l->n_agents; i++) {
        if (available[i] != l->wallets[i].available)
            return wrong(ctx, "available of agent", i, l->wallets[i].available, available[i]);
        all += available[i];
    }
    for (int64_t i = 0; i < l->n_deals; i++) {
        if (held[i] != l->deals[i].held)
            return wrong(ctx, "held in deal", i, l->deals[i].held, held[i]);
        all += held[i];
    }
    if (other[1] != l->broker) return wrong(ctx, "balance of broker", 0, l->broker, other[1]);
    if (other[2] != l->treasury) return wrong(ctx, "balance of treasury", 0, l->treasury, other[2]);
    all += other[1] + other[2];
    return all == -other[0] && all == -l->outside ? WHET_OK
                                                  : wrong(ctx, "all money", 0, all, -l->outside);
}

/* Held only where it may be; one settlement of a buyer and an offer, one of an exclusive offer. */
static whet_status check_escrow(whet_ctx *ctx, const whet_ledger *l) {
    for (int64_t i = 0; i < l->n_deals; i++) {
        const whet_deal *d = &l->deals[i];
        if (!whet_i_deal_holds(d->state) && d->held != 0)
            return wrong(ctx, "held in deal", i, d->held, 0);
        if (d->settled_at < 0) continue;
        for (int64_t k = d->previous; k >= 0; k = l->deals[k].previous)
            if (l->deals[k].settled_at >= 0 &&
                (l->deals[k].buyer == d->buyer || l->offers[d->offer].terms.exclusive))
                return wrong(ctx, "second settlement of offer", d->offer, i, k);
    }
    return WHET_OK;
}

whet_status whet_ledger_audit(whet_ctx *ctx, const whet_ledger *ledger) {
    whet_status status = WHET_OK;
    whet_ledger *again = NULL;
    int64_t *available = NULL, *held = NULL, other[3] = {0};
    status = whet_ledger_replay(ctx, ledger->records, ledger->n_records, &again);
    if (status == WHET_ERR_ARG || status == WHET_ERR_LIMIT)
        status = whet_i_fail_at(ctx, WHET_ERR_INTERNAL, "audit");
    if (status != WHET_OK) goto done;
    WHET_TRY_DONE(check_same(ctx, ledger, again));
    WHET_TRY_DONE(whet_i_calloc(ctx, ledger->n_agents, &available));
    WHET_TRY_DONE(whet_i_calloc(ctx, ledger->n_deals, &held));
    WHET_TRY_DONE(check_balances(ctx, ledger, available, held, other));
    WHET_TRY_DONE(check_escrow(ctx, ledger));
done:
    whet_ledger_destroy(ctx, again);
    whet_i_free(ctx, available);
    whet_i_free(ctx, held);
    return status;
}
