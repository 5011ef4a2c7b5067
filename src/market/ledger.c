/* SPDX-License-Identifier: Apache-2.0
 * The ledger: a log of records and what follows from it. A record is judged (ledger_rules.c), room for all
 * that it adds is made, and only then anything changes, without a way to fail half-way. */
#include "market/ledger_i.h"

/* ---- making, reading ---------------------------------------------------------------------------- */

whet_status whet_ledger_create(whet_ctx *ctx, whet_ledger **out) {
    return whet_i_calloc(ctx, 1, out);
}

void whet_ledger_destroy(whet_ctx *ctx, whet_ledger *ledger) {
    if (!ledger) return;
    whet_i_free(ctx, ledger->records);
    whet_i_free(ctx, ledger->entries);
    whet_i_free(ctx, ledger->wallets);
    whet_i_free(ctx, ledger->offers);
    whet_i_free(ctx, ledger->deals);
    whet_i_free(ctx, ledger);
}

int64_t whet_ledger_agents(const whet_ledger *ledger) { return ledger->n_agents; }
int64_t whet_ledger_offers(const whet_ledger *ledger) { return ledger->n_offers; }
int64_t whet_ledger_deals(const whet_ledger *ledger) { return ledger->n_deals; }

const whet_wallet *whet_ledger_wallet(const whet_ledger *ledger, int64_t agent) {
    return &ledger->wallets[agent];
}

const whet_offer *whet_ledger_offer(const whet_ledger *ledger, int64_t offer) {
    return &ledger->offers[offer];
}

const whet_deal *whet_ledger_deal(const whet_ledger *ledger, int64_t deal) {
    return &ledger->deals[deal];
}

const whet_record *whet_ledger_records(const whet_ledger *ledger, int64_t *n) {
    *n = ledger->n_records;
    return ledger->records;
}

const whet_entry *whet_ledger_entries(const whet_ledger *ledger, int64_t *n) {
    *n = ledger->n_entries;
    return ledger->entries;
}

void whet_ledger_get_totals(const whet_ledger *ledger, whet_ledger_totals *out) {
    *out = (whet_ledger_totals){
        .deposits = -ledger->outside, .broker = ledger->broker, .treasury = ledger->treasury};
    for (int64_t i = 0; i < ledger->n_agents; i++) out->available += ledger->wallets[i].available;
    for (int64_t i = 0; i < ledger->n_deals; i++) out->held += ledger->deals[i].held;
}

whet_status whet_ledger_receipt(whet_ctx *ctx, const whet_ledger *ledger, int64_t deal,
                                whet_receipt *out) {
    if (deal < 0 || deal >= ledger->n_deals)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "receipt: deal %lld is unknown; expected one of the %lld",
                           (long long)deal, (long long)ledger->n_deals);
    const whet_deal *d = &ledger->deals[deal];
    if (d->settled_at < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "receipt: deal %lld is %s; expected a settled one",
                           (long long)deal, whet_deal_state_name(d->state));
    *out = (whet_receipt){.deal = deal,
                          .offer = d->offer,
                          .seller = ledger->offers[d->offer].seller,
                          .buyer = d->buyer,
                          .record = d->settled_at,
                          .time = ledger->records[d->settled_at].time,
                          .payment = d->payment};
    return WHET_OK;
}

/* ---- applying ----------------------------------------------------------------------------------- */

/* Room for `more` items behind n; the array and its capacity grow together or not at all. */
#define MAKE_ROOM(ctx, array, n, cap, more) \
    do { \
        if ((n) + (more) > (cap)) { \
            const int64_t next_ = (cap) < 16 ? 16 : (cap)*2; \
            WHET_TRY(whet_i_realloc((ctx), &(array), next_)); \
            (cap) = next_; \
        } \
    } while (0)

static whet_status make_room(whet_ctx *ctx, whet_ledger *l) {
    MAKE_ROOM(ctx, l->records, l->n_records, l->cap_records, 1);
    MAKE_ROOM(ctx, l->entries, l->n_entries, l->cap_entries, WHET_I_ENTRIES_MAX);
    MAKE_ROOM(ctx, l->wallets, l->n_agents, l->cap_agents, 1);
    MAKE_ROOM(ctx, l->offers, l->n_offers, l->cap_offers, 1);
    MAKE_ROOM(ctx, l->deals, l->n_deals, l->cap_deals, 1);
    return WHET_OK;
}

static void post(whet_ledger *l, const whet_i_step *step) {
    for (int32_t i = 0; i < step->n; i++) {
        whet_entry e = step->entries[i];
        e.record = l->n_records;
        l->entries[l->n_entries++] = e;
        switch (e.account) {
        case WHET_ACCOUNT_OUTSIDE: l->outside += e.amount; break;
        case WHET_ACCOUNT_AVAILABLE: l->wallets[e.owner].available += e.amount; break;
        case WHET_ACCOUNT_HELD:
            l->deals[e.owner].held += e.amount;
            l->wallets[l->deals[e.owner].buyer].held += e.amount;
            break;
        case WHET_ACCOUNT_BROKER: l->broker += e.amount; break;
        case WHET_ACCOUNT_TREASURY: l->treasury += e.amount; break;
        }
    }
}

static void step_deal(whet_ledger *l, const whet_record *r, const whet_i_step *step) {
    whet_deal *d = &l->deals[r->deal];
    d->state = step->to;
    if (r->kind == WHET_RECORD_EVALUATE) d->tried = true;
    if (r->kind == WHET_RECORD_AGREE) d->payment = step->payment;
    if (r->kind == WHET_RECORD_SETTLE) d->settled_at = l->n_records;
    if (r->kind == WHET_RECORD_REJECT) l->wallets[l->offers[d->offer].seller].strikes += r->amount;
}

/* New agents, offers, deals; states of old ones. */
static void change(whet_ledger *l, const whet_record *r, const whet_i_step *step) {
    switch (r->kind) {
    case WHET_RECORD_OPEN: l->wallets[l->n_agents++] = (whet_wallet){0}; break;
    case WHET_RECORD_DEPOSIT:
    case WHET_RECORD_WITHDRAW:
    case WHET_RECORD_FUND:
    case WHET_RECORD_SWEEP: break;
    case WHET_RECORD_LIST:
        l->offers[l->n_offers++] =
            (whet_offer){WHET_OFFER_LISTED, r->agent, r->until, r->terms, -1};
        break;
    case WHET_RECORD_UNLIST: l->offers[r->offer].state = WHET_OFFER_WITHDRAWN; break;
    case WHET_RECORD_LAPSE: l->offers[r->offer].state = WHET_OFFER_EXPIRED; break;
    case WHET_RECORD_RESERVE:
        l->deals[l->n_deals] = (whet_deal){.state = WHET_DEAL_RESERVED,
                                           .offer = r->offer,
                                           .buyer = r->agent,
                                           .deadline = r->until,
                                           .settled_at = -1,
                                           .previous = l->offers[r->offer].last_deal};
        l->offers[r->offer].last_deal = l->n_deals++;
        break;
    default: step_deal(l, r, step);
    }
}

whet_status whet_ledger_apply(whet_ctx *ctx, whet_ledger *ledger, const whet_record *record) {
    whet_i_step step;
    const whet_record r = *record; /* may be one of the ledger's own, which move */
    WHET_TRY(whet_i_ledger_judge(ctx, ledger, &r, &step));
    WHET_TRY(make_room(ctx, ledger));
    change(ledger, &r, &step);
    post(ledger, &step);
    ledger->records[ledger->n_records++] = r;
    ledger->time = r.time;
    return WHET_OK;
}
