/* SPDX-License-Identifier: Apache-2.0
 * ledger: wallets, escrow and receipts of a market, in memory: no files, no clock, no keys.
 *
 * Everything that happens is a record, applied in order. A record either keeps every rule and is applied
 * whole, or is refused with a sentence and changes nothing. State is a function of the records: replaying
 * them, or any first part of them, gives the same state, which is what recovery after a crash does. Who may
 * write which record is the caller's to decide: it knows keys and roles.
 *
 * Money is whole units (whet/market.h), kept in double entry: every record's entries sum to zero, what comes
 * from and goes to outside included. Agents, offers and deals are numbered from 0 as they appear.
 *
 *   offer   LISTED -> WITHDRAWN (by the seller) | EXPIRED (by time)
 *   deal    RESERVED -> STAGED -> EVALUATED -> AGREED -> SETTLED -> DELIVERED -> CLOSED
 *           RESERVED -> EXPIRED; STAGED, EVALUATED -> REJECTED; EVALUATED -> NO_GAIN;
 *           STAGED, EVALUATED, AGREED -> CANCELLED; SETTLED, DELIVERED -> DISPUTED -> UPHELD | DISMISSED
 *
 * A ledger has one writer; reading it from several threads while nobody writes is fine. */
#ifndef WHET_LEDGER_H
#define WHET_LEDGER_H

#include "whet/core.h"
#include "whet/market.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- records ------------------------------------------------------------------------------------ */

/* name, word, what it reads beside time */
#define WHET_RECORD_LIST_OF(X) \
    X(WHET_RECORD_OPEN, "open")         /* a new agent */ \
    X(WHET_RECORD_DEPOSIT, "deposit")   /* agent, amount: from outside */ \
    X(WHET_RECORD_WITHDRAW, "withdraw") /* agent, amount: what is available */ \
    X(WHET_RECORD_FUND, "fund")         /* amount: from outside into the treasury */ \
    X(WHET_RECORD_SWEEP, "sweep")       /* amount: of the broker's fees into the treasury */ \
    X(WHET_RECORD_LIST, "list")         /* agent = seller, until = expiry, terms */ \
    X(WHET_RECORD_UNLIST, "unlist")     /* offer: its seller withdraws it */ \
    X(WHET_RECORD_LAPSE, "lapse")       /* offer, after its expiry */ \
    X(WHET_RECORD_RESERVE, "reserve") /* agent = buyer, offer, amount to hold, until = deadline */ \
    X(WHET_RECORD_STAGE, "stage") /* deal: the weights are there, and are those of the offer */ \
    X(WHET_RECORD_EVALUATE, "evaluate") /* deal: the broker has measured the gain */ \
    X(WHET_RECORD_AGREE, "agree")       /* deal, amount = price */ \
    X(WHET_RECORD_SETTLE, "settle") /* deal: money to the seller, weights to the buyer, at once */ \
    X(WHET_RECORD_DELIVER, "deliver") /* deal: the buyer has them */ \
    X(WHET_RECORD_CLOSE, "close")     /* deal */ \
    X(WHET_RECORD_EXPIRE, "expire")   /* deal, after its deadline: all is refunded */ \
    X(WHET_RECORD_REJECT, "reject") /* deal, amount = 1 for a strike: bad weights; all refunded */ \
    X(WHET_RECORD_NO_GAIN, "no-gain") /* deal: refunded but for the trial fee */ \
    X(WHET_RECORD_CANCEL, \
      "cancel") /* deal, after its deadline; refunded, but for the trial fee where the \
                                       trial was made and nothing agreed */ \
    X(WHET_RECORD_DISPUTE, "dispute") /* deal */ \
    X(WHET_RECORD_UPHOLD, \
      "uphold") /* deal: refunded, by the seller as far as it can, then the treasury */ \
    X(WHET_RECORD_DISMISS, "dismiss") /* deal */

typedef enum whet_record_kind {
#define WHET_RECORD_ENUM(name, word) name,
    WHET_RECORD_LIST_OF(WHET_RECORD_ENUM)
#undef WHET_RECORD_ENUM
        WHET_RECORDS
} whet_record_kind;
WHET_API const char *whet_record_name(whet_record_kind kind); /* "open", ... Pure. */

typedef struct whet_offer_terms {
    whet_fees fees;
    int64_t trial_fee;  /* units that a trial without a deal costs the buyer */
    int64_t max_trials; /* of one buyer, >= 1 */
    bool exclusive;     /* sold once: one deal at a time, and none after a settled one */
} whet_offer_terms;

typedef struct whet_record {
    whet_record_kind kind;
    int64_t time; /* of the log: never goes back; units are the caller's */
    int64_t agent, offer, deal, amount, until;
    whet_offer_terms terms;
} whet_record;

/* ---- the ledger --------------------------------------------------------------------------------- */

typedef struct whet_ledger whet_ledger;

/* Empty. Errors: NOMEM. */
WHET_API WHET_CHECKED whet_status whet_ledger_create(whet_ctx *ctx, whet_ledger **out);
WHET_API void whet_ledger_destroy(whet_ctx *ctx, whet_ledger *ledger); /* NULL is fine */
/* Applies one record, or refuses it and changes nothing. Refused: an unknown agent, offer or deal; a step
 * that the state or the time does not allow (towards a settlement up to the deadline, ends by time only after
 * it); more than is available; a buyer who is the seller, has a live or settled deal on the offer, or has
 * used up its trials; a hold below the trial fee; a price that the hold does not cover, with fees.
 * Errors: ARG (each of these by name), LIMIT (all money together above WHET_MONEY_MAX), NOMEM.
 * O(1); reserving and evaluating O(deals of the offer). */
WHET_API WHET_CHECKED whet_status whet_ledger_apply(whet_ctx *ctx, whet_ledger *ledger,
                                                    const whet_record *record);
/* A new ledger from records [n] of another. Errors: as applying, with the record's number; *out untouched. */
WHET_API WHET_CHECKED whet_status whet_ledger_replay(whet_ctx *ctx, const whet_record *records,
                                                     int64_t n, whet_ledger **out);
/* Checks the whole: replays all records and compares every state and balance; sums balances from the entries
 * alone; no balance below 0; all money = deposits - withdrawals; held only while RESERVED to AGREED; of a
 * buyer and an offer at most one settled. Errors: INTERNAL with what is wrong; NOMEM, CANCELLED.
 * O(records + deals^2 of an offer). */
WHET_API WHET_CHECKED whet_status whet_ledger_audit(whet_ctx *ctx, const whet_ledger *ledger);

/* ---- what it says ------------------------------------------------------------------------------- */

typedef struct whet_wallet {
    int64_t available, held; /* held: in all of its live deals */
    int64_t strikes;         /* rejected deliveries as seller */
} whet_wallet;

typedef enum whet_offer_state {
    WHET_OFFER_LISTED = 0,
    WHET_OFFER_WITHDRAWN,
    WHET_OFFER_EXPIRED
} whet_offer_state;
typedef struct whet_offer {
    whet_offer_state state;
    int64_t seller, expiry;
    whet_offer_terms terms;
    int64_t last_deal; /* the newest deal on it, or -1 */
} whet_offer;

typedef enum whet_deal_state {
    WHET_DEAL_RESERVED = 0,
    WHET_DEAL_STAGED,
    WHET_DEAL_EVALUATED,
    WHET_DEAL_AGREED,
    WHET_DEAL_SETTLED,
    WHET_DEAL_DELIVERED,
    WHET_DEAL_CLOSED,
    WHET_DEAL_EXPIRED,
    WHET_DEAL_REJECTED,
    WHET_DEAL_NO_GAIN,
    WHET_DEAL_CANCELLED,
    WHET_DEAL_DISPUTED,
    WHET_DEAL_UPHELD,
    WHET_DEAL_DISMISSED,
    WHET_DEAL_STATES
} whet_deal_state;
WHET_API const char *whet_deal_state_name(whet_deal_state state); /* "reserved", ... Pure. */
typedef struct whet_deal {
    whet_deal_state state;
    int64_t offer, buyer, deadline;
    int64_t held;         /* in escrow now; 0 from SETTLED and in every end */
    bool tried;           /* was evaluated */
    whet_payment payment; /* from AGREED on; before, zeros */
    int64_t settled_at;   /* number of the record that settled it, or -1 */
    int64_t previous;     /* the deal before it on the same offer, or -1 */
} whet_deal;

/* One movement of money: amount into an account, or, negative, out of it. */
typedef enum whet_account {
    WHET_ACCOUNT_OUTSIDE = 0,
    WHET_ACCOUNT_AVAILABLE, /* of agent `owner` */
    WHET_ACCOUNT_HELD,      /* in deal `owner` */
    WHET_ACCOUNT_BROKER,
    WHET_ACCOUNT_TREASURY
} whet_account;
typedef struct whet_entry {
    int64_t record; /* whose entries sum to 0 */
    whet_account account;
    int64_t owner; /* 0 where the account has none */
    int64_t amount;
} whet_entry;

typedef struct whet_ledger_totals {
    int64_t deposits; /* less withdrawals = available + held + broker + treasury */
    int64_t available, held, broker, treasury;
} whet_ledger_totals;
WHET_API void whet_ledger_get_totals(const whet_ledger *ledger, whet_ledger_totals *out);

/* How many there are; and the arrays, valid until the next record is applied. */
WHET_API int64_t whet_ledger_agents(const whet_ledger *ledger);
WHET_API int64_t whet_ledger_offers(const whet_ledger *ledger);
WHET_API int64_t whet_ledger_deals(const whet_ledger *ledger);
WHET_API const whet_wallet *whet_ledger_wallet(const whet_ledger *ledger, int64_t agent);
WHET_API const whet_offer *whet_ledger_offer(const whet_ledger *ledger, int64_t offer);
WHET_API const whet_deal *whet_ledger_deal(const whet_ledger *ledger, int64_t deal);
WHET_API const whet_record *whet_ledger_records(const whet_ledger *ledger, int64_t *n);
WHET_API const whet_entry *whet_ledger_entries(const whet_ledger *ledger, int64_t *n);

/* What a settled deal was: proof of payment, and the buyer's right to the weights. */
typedef struct whet_receipt {
    int64_t deal, offer, seller, buyer;
    int64_t record, time; /* of the settlement */
    whet_payment payment;
} whet_receipt;
/* Errors: ARG (no such deal, or never settled). */
WHET_API WHET_CHECKED whet_status whet_ledger_receipt(whet_ctx *ctx, const whet_ledger *ledger,
                                                      int64_t deal, whet_receipt *out);

#ifdef __cplusplus
}
#endif
#endif
