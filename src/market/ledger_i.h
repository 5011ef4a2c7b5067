/* SPDX-License-Identifier: Apache-2.0
 * Private to the ledger: its arrays, and the rules that a record must keep. */
#ifndef WHET_MARKET_LEDGER_I_H
#define WHET_MARKET_LEDGER_I_H

#include "whet/ledger.h"

#include "market/market_i.h"

enum { WHET_I_ENTRIES_MAX = 5 }; /* that one record makes */

/* Arrays with room for cap_* items: records and entries are the log, the rest follows from it. */
struct whet_ledger {
    whet_record *records;
    whet_entry *entries;
    whet_wallet *wallets;
    whet_offer *offers;
    whet_deal *deals;
    int64_t n_records, n_entries, n_agents, n_offers, n_deals;
    int64_t cap_records, cap_entries, cap_agents, cap_offers, cap_deals;
    int64_t outside; /* -(deposits - withdrawals) */
    int64_t broker, treasury;
    int64_t time;
};

/* What a record does, worked out before anything is changed. */
typedef struct whet_i_step {
    whet_entry entries[WHET_I_ENTRIES_MAX];
    int32_t n;
    whet_deal_state to;   /* of a deal's record */
    whet_payment payment; /* AGREE */
} whet_i_step;

/* Whether the record keeps all rules, and its step; the ledger is only read. Errors: ARG, LIMIT, INTERNAL. */
WHET_CHECKED whet_status whet_i_ledger_judge(whet_ctx *ctx, const whet_ledger *ledger,
                                             const whet_record *record, whet_i_step *step);

/* From RESERVED to AGREED, in which money is held. Pure. */
bool whet_i_deal_holds(whet_deal_state state);
/* Not at an end: something can still come. Pure. */
bool whet_i_deal_lives(whet_deal_state state);

#endif
