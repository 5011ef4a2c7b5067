/* SPDX-License-Identifier: Apache-2.0
 * What a simulated market says to the questions that it is run for, in words that follow from intervals over
 * seeds: an interval that holds 0 is no difference, and one seed is no interval. */
#include <inttypes.h>
#include <math.h>

#include "market/trading_report.h"

static const char *const questions[WHET_I_ANSWERS] = {
    "Do agents gain against training alone?", "Each of them?", "Also when they compete?",
    "Who captures the surplus?", "And beside the alternatives?"};

/* ---- intervals in words -------------------------------------------------------------------- */

/* "+1.20 points (95 %: +0.80 to +1.60)" */
static whet_status put_points(whet_ctx *ctx, whet_i_buf *out, whet_i_estimate e) {
    WHET_PUT("%+.2f points", 100 * e.mean);
    if (isfinite(e.half))
        WHET_PUT(" (95 %%: %+.2f to %+.2f)", 100 * (e.mean - e.half), 100 * (e.mean + e.half));
    return WHET_OK;
}

static whet_status put_loss(whet_ctx *ctx, whet_i_buf *out, whet_i_estimate e) {
    static const char *const words[] = {"which one seed cannot tell from none", /* by verdict */
                                        "no difference beyond noise", "worse", "better"};
    if (!isfinite(e.mean)) return WHET_OK;
    WHET_PUT(" Test loss: %+.4f", e.mean);
    if (isfinite(e.half)) WHET_PUT(" (95 %%: %+.4f to %+.4f)", e.mean - e.half, e.mean + e.half);
    WHET_PUT(", %s.", words[whet_i_verdict_of(e)]);
    return WHET_OK;
}

/* ---- against training alone ---------------------------------------------------------------- */

static whet_status answer_gain(whet_ctx *ctx, const whet_i_ends *ends, whet_i_buf *out) {
    static const char *const words[] = {"One seed cannot tell", "No difference beyond noise",
                                        "Yes, on average", "No, on average they lose"};
    const whet_i_estimate e =
        whet_i_ends_compare(ends, WHET_ARM_MARKET, WHET_ARM_SILO, WHET_MEAN_AGENT, false);
    if (!isfinite(e.mean)) {
        WHET_PUT("That was not measured.");
        return WHET_OK;
    }
    WHET_PUT(
        "%s: in the market test accuracy ends at %.2f %%, alone at %.2f %%, a difference of ",
        words[whet_i_verdict_of(e)],
        100 * whet_i_ends_compare(ends, WHET_ARM_MARKET, WHET_ARMS, WHET_MEAN_AGENT, false).mean,
        100 * whet_i_ends_compare(ends, WHET_ARM_SILO, WHET_ARMS, WHET_MEAN_AGENT, false).mean);
    WHET_TRY(put_points(ctx, out, e));
    WHET_PUT(", %" PRId64 " seed%s.", e.n, e.n == 1 ? "" : "s");
    return put_loss(
        ctx, out, whet_i_ends_compare(ends, WHET_ARM_MARKET, WHET_ARM_SILO, WHET_MEAN_AGENT, true));
}

/* Those of `among` (NULL: of all agents) whose verdict is `which`, by name; nothing where there are none. */
static whet_status put_those(whet_ctx *ctx, whet_i_buf *out, const whet_i_ends *ends,
                             const bool *among, whet_i_verdict which, const char *words,
                             int64_t *said) {
    const whet_trading_result *r = ends->result;
    int64_t n = 0;
    for (int64_t a = 0; a < r->n_agents; a++) {
        const whet_i_estimate e =
            whet_i_ends_compare(ends, WHET_ARM_MARKET, WHET_ARM_SILO, a, false);
        if ((among && !among[a]) || whet_i_verdict_of(e) != which) continue;
        if (n == 0) WHET_PUT("%s%s: ", *said ? "; " : "", words);
        WHET_PUT("%s%s ", n ? ", " : "", r->agents[a]);
        if (isfinite(e.mean))
            WHET_PUT("%+.2f", 100 * e.mean);
        else
            WHET_PUT("(not measured)");
        n++;
    }
    *said += n;
    return WHET_OK;
}

/* By verdict, in a parenthesis. */
static whet_status put_all_of(whet_ctx *ctx, whet_i_buf *out, const whet_i_ends *ends,
                              const bool *among) {
    static const char *const words[] = {"cannot be told", "no different beyond noise", "gain",
                                        "lose"};
    static const whet_i_verdict order[] = {WHET_I_ABOVE, WHET_I_BELOW, WHET_I_NOISE, WHET_I_UNTOLD};
    int64_t said = 0;
    WHET_PUT(" (");
    for (int i = 0; i < WHET_COUNT_OF(order); i++)
        WHET_TRY(put_those(ctx, out, ends, among, order[i], words[order[i]], &said));
    WHET_PUT("; points of test accuracy against training alone, each interval by itself).");
    return WHET_OK;
}

static whet_status answer_each(whet_ctx *ctx, const whet_i_ends *ends, whet_i_buf *out,
                               const bool *among) {
    int64_t gain = 0, lose = 0, all = 0;
    for (int64_t a = 0; a < ends->result->n_agents; a++) {
        if (among && !among[a]) continue;
        const whet_i_estimate e =
            whet_i_ends_compare(ends, WHET_ARM_MARKET, WHET_ARM_SILO, a, false);
        gain += whet_i_verdict_of(e) == WHET_I_ABOVE;
        lose += whet_i_verdict_of(e) == WHET_I_BELOW;
        all++;
    }
    if (ends->result->n_seeds == 1)
        WHET_PUT("One seed cannot tell");
    else if (gain == all)
        WHET_PUT("Yes");
    else if (gain)
        WHET_PUT("Not all: %" PRId64 " of %" PRId64 " beyond noise", gain, all);
    else if (lose)
        WHET_PUT("No: %" PRId64 " of %" PRId64 " lose beyond noise", lose, all);
    else
        WHET_PUT("No difference beyond noise");
    return put_all_of(ctx, out, ends, among);
}

static whet_status answer_compete(whet_ctx *ctx, const whet_i_ends *ends, whet_i_buf *out) {
    const bool *among = ends->result->competitors;
    bool any = false;
    for (int64_t a = 0; among && a < ends->result->n_agents; a++) any = any || among[a];
    if (any) return answer_each(ctx, ends, out, among);
    WHET_PUT("Nobody's gain costs another agent anything here, so this does not tell.");
    return WHET_OK;
}

/* ---- money --------------------------------------------------------------------------------- */

static whet_status put_parts(whet_ctx *ctx, whet_i_buf *out, const whet_i_shares *s) {
    if (s->total.mean > 0 && s->buyers.mean >= 0 && s->sellers.mean >= 0) {
        WHET_PUT("Of %.0f a seed, buyers have %.0f %%, sellers %.0f %% and the broker %.0f %%",
                 s->total.mean, 100 * s->buyers.mean / s->total.mean,
                 100 * s->sellers.mean / s->total.mean, 100 * s->broker.mean / s->total.mean);
        return WHET_OK;
    }
    WHET_PUT("Together %.0f a seed: buyers %+.0f, sellers %+.0f, the broker %+.0f", s->total.mean,
             s->buyers.mean, s->sellers.mean, s->broker.mean);
    return WHET_OK;
}

static whet_status answer_surplus(whet_ctx *ctx, const whet_i_ends *ends, whet_i_buf *out) {
    static const char *const words[] = {"one seed has no interval", /* by verdict */
                                        "no difference between buyers and sellers beyond noise",
                                        "buyers have more than sellers",
                                        "sellers have more than buyers"};
    whet_i_shares s;
    if (!ends->result->money) {
        WHET_PUT("Weights are given, not sold: what is gained is the buyer's.");
        return WHET_OK;
    }
    WHET_TRY(whet_i_trading_shares(ctx, ends->result, WHET_ARM_MARKET, &s));
    if (s.deals == 0) {
        WHET_PUT("Nothing was sold, so there is none");
        if (s.broker.mean > 0)
            WHET_PUT("; trials that led to nothing cost buyers %.0f a seed", s.broker.mean);
        WHET_PUT(".");
        return WHET_OK;
    }
    WHET_TRY(put_parts(ctx, out, &s));
    WHET_PUT(", by the valuations that the configuration gives them: %s",
             words[whet_i_verdict_of(s.lead)]);
    if (isfinite(s.lead.half))
        WHET_PUT(" (buyers less sellers, 95 %%: %+.0f to %+.0f)", s.lead.mean - s.lead.half,
                 s.lead.mean + s.lead.half);
    WHET_PUT(".");
    return WHET_OK;
}

/* ---- the other arms ------------------------------------------------------------------------ */

static whet_status answer_beside(whet_ctx *ctx, const whet_i_ends *ends, whet_i_buf *out) {
    static const char *const words[] = {"cannot be told", "no difference beyond noise",
                                        "the market is ahead", "the market is behind"};
    static const struct {
        whet_arm arm;
        const char *what;
    } others[] = {{WHET_ARM_NO_ALIGN, "the same market without aligning units (no-align)"},
                  {WHET_ARM_FEDAVG, "plain averages of all weights (fedavg)"},
                  {WHET_ARM_BANK, "one model trained on all examples (bank)"}};
    bool any = false;
    for (int i = 0; i < WHET_COUNT_OF(others); i++) {
        const whet_i_estimate e =
            whet_i_ends_compare(ends, WHET_ARM_MARKET, others[i].arm, WHET_MEAN_AGENT, false);
        if (!ends->result->arms[others[i].arm]) continue;
        WHET_PUT("%s %s: ", any ? "; against" : "Against", others[i].what);
        any = true;
        if (isfinite(e.mean)) {
            WHET_TRY(put_points(ctx, out, e));
            WHET_PUT(", ");
        }
        WHET_PUT("%s", words[whet_i_verdict_of(e)]);
    }
    if (any) WHET_PUT(".");
    return WHET_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static whet_status put_caution(whet_ctx *ctx, const whet_trading_result *r, whet_i_buf *out) {
    if (r->n_gate > 0 || !r->arms[WHET_ARM_MARKET]) return WHET_OK;
    WHET_PUT(
        "Mixing weights were chosen, and purchases decided, by the test examples themselves, as "
        "the published code does: the test figures of arms that trade are too good, and prove "
        "nothing.");
    return WHET_OK;
}

whet_status whet_i_trading_answers(whet_ctx *ctx, const whet_i_ends *ends, whet_i_answers *out) {
    whet_status (*const answer[])(whet_ctx *, const whet_i_ends *, whet_i_buf *) = {
        answer_gain, NULL, answer_compete, answer_surplus, answer_beside};
    for (int i = 0; i < WHET_I_ANSWERS; i++) out->question[i] = questions[i];
    WHET_TRY(put_caution(ctx, ends->result, &out->caution));
    if (!ends->result->arms[WHET_ARM_MARKET])
        return whet_i_buf_printf(ctx, &out->answer[0], "No market was followed.");
    for (int i = 0; i < WHET_I_ANSWERS; i++)
        WHET_TRY(answer[i] ? answer[i](ctx, ends, &out->answer[i])
                           : answer_each(ctx, ends, &out->answer[i], NULL));
    return WHET_OK;
}

void whet_i_answers_free(whet_ctx *ctx, whet_i_answers *answers) {
    for (int i = 0; i < WHET_I_ANSWERS; i++) whet_i_buf_free(ctx, &answers->answer[i]);
    whet_i_buf_free(ctx, &answers->caution);
}

whet_status whet_trading_answers(whet_ctx *ctx, const whet_trading_result *result, char **out) {
    whet_i_ends ends = {0};
    whet_i_answers a = {0};
    whet_i_buf text = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_ends_find(ctx, result, &ends));
    WHET_TRY_DONE(whet_i_trading_answers(ctx, &ends, &a));
    for (int i = 0; i < WHET_I_ANSWERS; i++)
        if (a.answer[i].data)
            WHET_TRY_DONE(
                whet_i_buf_printf(ctx, &text, "%s %s\n", a.question[i], a.answer[i].data));
    if (a.caution.data)
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &text, "Caution: %s\n", a.caution.data));
    *out = text.data;
    text = (whet_i_buf){0};
done:
    whet_i_buf_free(ctx, &text);
    whet_i_answers_free(ctx, &a);
    whet_i_ends_free(ctx, &ends);
    return status;
}
