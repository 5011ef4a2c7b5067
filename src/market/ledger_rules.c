/* SPDX-License-Identifier: Apache-2.0
 * What each record of the ledger needs, and the money that it moves. Nothing is changed here: a record is
 * judged whole, against the state before it.
 *
 * Time: steps towards a settlement are allowed up to the deadline, the deadline included, ends by time only
 * after it, so that no moment allows both. A trial that was made costs its fee unless the deal went on: who
 * reserves, sees the gain and then lets time pass would else try for nothing. Once all is agreed, settling is
 * the broker's work, and a deadline missed there costs the buyer nothing. */
#include "market/ledger_i.h"

static const char *const STATES[WHET_DEAL_STATES] = {
    "reserved", "staged",   "evaluated", "agreed",    "settled",  "delivered", "closed",
    "expired",  "rejected", "no-gain",   "cancelled", "disputed", "upheld",    "dismissed"};

const char *whet_deal_state_name(whet_deal_state state) { return STATES[state]; }

const char *whet_record_name(whet_record_kind kind) {
    static const char *const NAMES[WHET_RECORDS] = {
#define NAME(name, word) word,
        WHET_RECORD_LIST_OF(NAME)
#undef NAME
    };
    return NAMES[kind];
}

bool whet_i_deal_holds(whet_deal_state state) { return state <= WHET_DEAL_AGREED; }

bool whet_i_deal_lives(whet_deal_state state) {
    return state <= WHET_DEAL_DELIVERED || state == WHET_DEAL_DISPUTED;
}

/* ---- steps of a deal ---------------------------------------------------------------------------- */

typedef enum when {
    ANY_TIME,
    IN_TIME, /* up to the deadline */
    TOO_LATE /* after it */
} when;

#define FROM(state) (1u << WHET_DEAL_##state)
static const struct {
    whet_record_kind kind;
    uint32_t from;
    whet_deal_state to;
    when when;
} STEPS[] = {
    {WHET_RECORD_STAGE, FROM(RESERVED), WHET_DEAL_STAGED, IN_TIME},
    {WHET_RECORD_EVALUATE, FROM(STAGED), WHET_DEAL_EVALUATED, IN_TIME},
    {WHET_RECORD_AGREE, FROM(EVALUATED), WHET_DEAL_AGREED, IN_TIME},
    {WHET_RECORD_SETTLE, FROM(AGREED), WHET_DEAL_SETTLED, IN_TIME},
    {WHET_RECORD_DELIVER, FROM(SETTLED), WHET_DEAL_DELIVERED, ANY_TIME},
    {WHET_RECORD_CLOSE, FROM(DELIVERED), WHET_DEAL_CLOSED, ANY_TIME},
    {WHET_RECORD_EXPIRE, FROM(RESERVED), WHET_DEAL_EXPIRED, TOO_LATE},
    {WHET_RECORD_REJECT, FROM(STAGED) | FROM(EVALUATED), WHET_DEAL_REJECTED, ANY_TIME},
    {WHET_RECORD_NO_GAIN, FROM(EVALUATED), WHET_DEAL_NO_GAIN, ANY_TIME},
    {WHET_RECORD_CANCEL, FROM(STAGED) | FROM(EVALUATED) | FROM(AGREED), WHET_DEAL_CANCELLED,
     TOO_LATE},
    {WHET_RECORD_DISPUTE, FROM(SETTLED) | FROM(DELIVERED), WHET_DEAL_DISPUTED, ANY_TIME},
    {WHET_RECORD_UPHOLD, FROM(DISPUTED), WHET_DEAL_UPHELD, ANY_TIME},
    {WHET_RECORD_DISMISS, FROM(DISPUTED), WHET_DEAL_DISMISSED, ANY_TIME},
};

typedef struct judged {
    whet_ctx *ctx;
    const whet_ledger *ledger;
    const whet_record *record;
    whet_i_step *step;
} judged;

static void move(whet_i_step *step, whet_account account, int64_t owner, int64_t amount) {
    if (amount == 0) return;
    step->entries[step->n++] = (whet_entry){0, account, owner, amount};
}

/* ---- checks ------------------------------------------------------------------------------------- */

static whet_status check_index(const judged *j, const char *what, int64_t i, int64_t n) {
    if (i >= 0 && i < n) return WHET_OK;
    return whet_i_fail(j->ctx, WHET_ERR_ARG, "%s: %s %lld is unknown; expected one of the %lld",
                       whet_record_name(j->record->kind), what, (long long)i, (long long)n);
}

static whet_status check_amount(const judged *j, int64_t least) {
    const int64_t amount = j->record->amount;
    if (amount >= least && amount <= WHET_MONEY_MAX) return WHET_OK;
    return whet_i_fail(j->ctx, WHET_ERR_ARG, "%s: amount %lld; expected %lld to %lld",
                       whet_record_name(j->record->kind), (long long)amount, (long long)least,
                       (long long)WHET_MONEY_MAX);
}

static whet_status check_funds(const judged *j, const char *who, int64_t there, int64_t needed) {
    if (there >= needed) return WHET_OK;
    return whet_i_fail(j->ctx, WHET_ERR_ARG, "%s: %s has %lld; expected at least %lld",
                       whet_record_name(j->record->kind), who, (long long)there, (long long)needed);
}

/* All money together stays countable, and with it every part. */
static whet_status from_outside(const judged *j) {
    int64_t unused;
    WHET_TRY(check_amount(j, 1));
    WHET_TRY(whet_money_add(j->ctx, "money in the ledger", -j->ledger->outside, j->record->amount,
                            &unused));
    move(j->step, WHET_ACCOUNT_OUTSIDE, 0, -j->record->amount);
    return WHET_OK;
}

/* ---- offers ------------------------------------------------------------------------------------- */

static whet_status judge_list(const judged *j) {
    const whet_offer_terms *t = &j->record->terms;
    whet_payment unused;
    WHET_TRY(check_index(j, "agent", j->record->agent, j->ledger->n_agents));
    if (j->record->until < j->record->time)
        return whet_i_fail(j->ctx, WHET_ERR_ARG, "list: expires at %lld; expected %lld or later",
                           (long long)j->record->until, (long long)j->record->time);
    if (t->trial_fee < 0 || t->trial_fee > WHET_MONEY_MAX || t->max_trials < 1)
        return whet_i_fail(j->ctx, WHET_ERR_ARG,
                           "list: trial fee %lld and %lld trials; expected 0 or more and 1 or more",
                           (long long)t->trial_fee, (long long)t->max_trials);
    if (t->fees.seller < 0 || t->fees.seller > WHET_MONEY_MAX)
        return whet_i_fail(j->ctx, WHET_ERR_ARG,
                           "list: the seller's fee is %lld; expected 0 to %lld",
                           (long long)t->fees.seller, (long long)WHET_MONEY_MAX);
    const whet_fees of_nothing = {t->fees.buyer, 0, t->fees.buyer_bp, t->fees.seller_bp};
    return whet_payment_split(j->ctx, 0, &of_nothing, &unused);
}

static whet_status judge_offer_end(const judged *j) {
    WHET_TRY(check_index(j, "offer", j->record->offer, j->ledger->n_offers));
    const whet_offer *o = &j->ledger->offers[j->record->offer];
    if (o->state != WHET_OFFER_LISTED)
        return whet_i_fail(j->ctx, WHET_ERR_ARG,
                           "%s: offer %lld is no longer listed; expected it to be",
                           whet_record_name(j->record->kind), (long long)j->record->offer);
    if (j->record->kind == WHET_RECORD_LAPSE && j->record->time <= o->expiry)
        return whet_i_fail(j->ctx, WHET_ERR_ARG, "lapse: offer %lld expires after %lld, it is %lld",
                           (long long)j->record->offer, (long long)o->expiry,
                           (long long)j->record->time);
    return WHET_OK;
}

/* What earlier deals on the offer forbid: its buyer's own, and any of an exclusive one. */
static whet_status check_earlier(const judged *j, const whet_offer *o) {
    const whet_record *r = j->record;
    for (int64_t d = o->last_deal; d >= 0; d = j->ledger->deals[d].previous) {
        const whet_deal *deal = &j->ledger->deals[d];
        const bool counts = whet_i_deal_lives(deal->state) || deal->settled_at >= 0;
        if (counts && (deal->buyer == r->agent || o->terms.exclusive))
            return whet_i_fail(
                j->ctx, WHET_ERR_ARG,
                "reserve: deal %lld on offer %lld is %s; expected none that lives or "
                "was settled%s",
                (long long)d, (long long)r->offer, STATES[deal->state],
                deal->buyer == r->agent ? " with this buyer" : ", for the offer is exclusive");
    }
    return WHET_OK;
}

static whet_status judge_reserve(const judged *j) {
    const whet_record *r = j->record;
    WHET_TRY(check_index(j, "agent", r->agent, j->ledger->n_agents));
    WHET_TRY(check_index(j, "offer", r->offer, j->ledger->n_offers));
    const whet_offer *o = &j->ledger->offers[r->offer];
    if (o->state != WHET_OFFER_LISTED || r->time > o->expiry)
        return whet_i_fail(j->ctx, WHET_ERR_ARG, "reserve: offer %lld is %s; expected it listed",
                           (long long)r->offer,
                           o->state == WHET_OFFER_WITHDRAWN ? "withdrawn" : "expired");
    if (o->seller == r->agent)
        return whet_i_fail(j->ctx, WHET_ERR_ARG,
                           "reserve: agent %lld is the seller; expected another buyer",
                           (long long)r->agent);
    if (r->until < r->time)
        return whet_i_fail(j->ctx, WHET_ERR_ARG, "reserve: deadline %lld; expected %lld or later",
                           (long long)r->until, (long long)r->time);
    WHET_TRY(check_earlier(j, o));
    WHET_TRY(check_amount(j, o->terms.trial_fee));
    WHET_TRY(check_funds(j, "the buyer", j->ledger->wallets[r->agent].available, r->amount));
    move(j->step, WHET_ACCOUNT_AVAILABLE, r->agent, -r->amount);
    move(j->step, WHET_ACCOUNT_HELD, j->ledger->n_deals, r->amount);
    return WHET_OK;
}

/* ---- deals -------------------------------------------------------------------------------------- */

static whet_status check_trials(const judged *j, const whet_deal *deal, const whet_offer *o) {
    int64_t tried = 0;
    for (int64_t d = o->last_deal; d >= 0; d = j->ledger->deals[d].previous)
        tried += j->ledger->deals[d].buyer == deal->buyer && j->ledger->deals[d].tried;
    if (tried < o->terms.max_trials) return WHET_OK;
    return whet_i_fail(
        j->ctx, WHET_ERR_ARG,
        "evaluate: buyer %lld has made %lld trials of offer %lld; expected at most %lld",
        (long long)deal->buyer, (long long)tried, (long long)deal->offer,
        (long long)o->terms.max_trials);
}

static whet_status judge_agree(const judged *j, const whet_deal *deal, const whet_offer *o) {
    WHET_TRY(check_amount(j, 0));
    WHET_TRY(whet_payment_split(j->ctx, j->record->amount, &o->terms.fees, &j->step->payment));
    return check_funds(j, "the hold", deal->held, j->step->payment.buyer_pays);
}

static void release(const judged *j, const whet_deal *deal, int64_t trial_fee) {
    move(j->step, WHET_ACCOUNT_HELD, j->record->deal, -deal->held);
    move(j->step, WHET_ACCOUNT_BROKER, 0, trial_fee);
    move(j->step, WHET_ACCOUNT_AVAILABLE, deal->buyer, deal->held - trial_fee);
}

static void settle(const judged *j, const whet_deal *deal, const whet_offer *o) {
    const whet_payment *p = &deal->payment;
    move(j->step, WHET_ACCOUNT_HELD, j->record->deal, -deal->held);
    move(j->step, WHET_ACCOUNT_AVAILABLE, o->seller, p->seller_gets);
    move(j->step, WHET_ACCOUNT_BROKER, 0, p->broker_gets);
    move(j->step, WHET_ACCOUNT_AVAILABLE, deal->buyer, deal->held - p->buyer_pays);
}

/* The seller gives back what it got as far as it is there, the treasury the rest. */
static whet_status refund(const judged *j, const whet_deal *deal, const whet_offer *o) {
    const int64_t there = j->ledger->wallets[o->seller].available;
    const int64_t got = deal->payment.seller_gets, back = got < there ? got : there;
    const int64_t rest = deal->payment.buyer_pays - back;
    WHET_TRY(check_funds(j, "the treasury", j->ledger->treasury, rest));
    move(j->step, WHET_ACCOUNT_AVAILABLE, o->seller, -back);
    move(j->step, WHET_ACCOUNT_TREASURY, 0, -rest);
    move(j->step, WHET_ACCOUNT_AVAILABLE, deal->buyer, deal->payment.buyer_pays);
    return WHET_OK;
}

static whet_status move_money(const judged *j, const whet_deal *deal) {
    const whet_offer *o = &j->ledger->offers[deal->offer];
    switch (j->record->kind) {
    case WHET_RECORD_EVALUATE: return check_trials(j, deal, o);
    case WHET_RECORD_AGREE: return judge_agree(j, deal, o);
    case WHET_RECORD_SETTLE: settle(j, deal, o); return WHET_OK;
    case WHET_RECORD_UPHOLD: return refund(j, deal, o);
    case WHET_RECORD_NO_GAIN: release(j, deal, o->terms.trial_fee); return WHET_OK;
    case WHET_RECORD_CANCEL:
        release(j, deal, deal->state == WHET_DEAL_EVALUATED ? o->terms.trial_fee : 0);
        return WHET_OK;
    case WHET_RECORD_EXPIRE:
    case WHET_RECORD_REJECT: release(j, deal, 0); return WHET_OK;
    default: return WHET_OK;
    }
}

static whet_status judge_deal(const judged *j) {
    const whet_record *r = j->record;
    WHET_TRY(check_index(j, "deal", r->deal, j->ledger->n_deals));
    const whet_deal *deal = &j->ledger->deals[r->deal];
    size_t s = 0;
    while (STEPS[s].kind != r->kind) s++;
    if (!(STEPS[s].from >> deal->state & 1u))
        return whet_i_fail(j->ctx, WHET_ERR_ARG, "%s: deal %lld is %s; expected a state before it",
                           whet_record_name(r->kind), (long long)r->deal, STATES[deal->state]);
    const bool late = r->time > deal->deadline;
    if ((STEPS[s].when == IN_TIME && late) || (STEPS[s].when == TOO_LATE && !late))
        return whet_i_fail(j->ctx, WHET_ERR_ARG,
                           "%s: it is %lld, deal %lld has its deadline at %lld; "
                           "expected %s",
                           whet_record_name(r->kind), (long long)r->time, (long long)r->deal,
                           (long long)deal->deadline, late ? "no later" : "later");
    if (r->kind == WHET_RECORD_REJECT && r->amount != 0 && r->amount != 1)
        return whet_i_fail(j->ctx, WHET_ERR_ARG, "reject: %lld strikes; expected 0 or 1",
                           (long long)r->amount);
    j->step->to = STEPS[s].to;
    return move_money(j, deal);
}

/* ---- any record --------------------------------------------------------------------------------- */

static whet_status judge_kind(const judged *j) {
    const whet_record *r = j->record;
    switch (r->kind) {
    case WHET_RECORD_OPEN: return WHET_OK;
    case WHET_RECORD_DEPOSIT:
        WHET_TRY(check_index(j, "agent", r->agent, j->ledger->n_agents));
        WHET_TRY(from_outside(j));
        move(j->step, WHET_ACCOUNT_AVAILABLE, r->agent, r->amount);
        return WHET_OK;
    case WHET_RECORD_WITHDRAW:
        WHET_TRY(check_index(j, "agent", r->agent, j->ledger->n_agents));
        WHET_TRY(check_amount(j, 1));
        WHET_TRY(check_funds(j, "the agent", j->ledger->wallets[r->agent].available, r->amount));
        move(j->step, WHET_ACCOUNT_AVAILABLE, r->agent, -r->amount);
        move(j->step, WHET_ACCOUNT_OUTSIDE, 0, r->amount);
        return WHET_OK;
    case WHET_RECORD_FUND:
        WHET_TRY(from_outside(j));
        move(j->step, WHET_ACCOUNT_TREASURY, 0, r->amount);
        return WHET_OK;
    case WHET_RECORD_SWEEP:
        WHET_TRY(check_amount(j, 1));
        WHET_TRY(check_funds(j, "the broker", j->ledger->broker, r->amount));
        move(j->step, WHET_ACCOUNT_BROKER, 0, -r->amount);
        move(j->step, WHET_ACCOUNT_TREASURY, 0, r->amount);
        return WHET_OK;
    case WHET_RECORD_LIST: return judge_list(j);
    case WHET_RECORD_UNLIST:
    case WHET_RECORD_LAPSE: return judge_offer_end(j);
    case WHET_RECORD_RESERVE: return judge_reserve(j);
    default: return judge_deal(j);
    }
}

whet_status whet_i_ledger_judge(whet_ctx *ctx, const whet_ledger *ledger, const whet_record *record,
                                whet_i_step *step) {
    const judged j = {ctx, ledger, record, step};
    *step = (whet_i_step){0};
    if ((int)record->kind < 0 || record->kind >= WHET_RECORDS)
        return whet_i_fail(ctx, WHET_ERR_ARG, "record kind %d; expected 0 to %d", (int)record->kind,
                           WHET_RECORDS - 1);
    if (record->time < ledger->time)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: time %lld; expected %lld or later",
                           whet_record_name(record->kind), (long long)record->time,
                           (long long)ledger->time);
    WHET_TRY(judge_kind(&j));
    int64_t sum = 0;
    for (int32_t i = 0; i < step->n; i++) sum += step->entries[i].amount;
    if (sum != 0)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "%s: entries sum to %lld; expected 0",
                           whet_record_name(record->kind), (long long)sum);
    return WHET_OK;
}
