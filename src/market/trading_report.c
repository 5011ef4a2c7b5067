/* SPDX-License-Identifier: Apache-2.0
 * A simulated market as a page: what it says, how it was made, accuracy by arm and agent, trades, money; and
 * its pictures, in the page and as files. Names are not trusted. */
#include <inttypes.h>
#include <math.h>

#include "market/trading_report.h"

/* What the sections read. */
typedef struct page {
    const whet_trading_result *result;
    const whet_i_trading_series *series;
    const whet_i_ends *ends;
} page;

static whet_status put_name(whet_ctx *ctx, whet_i_buf *out, const char *name) {
    return whet_i_html_cut(ctx, out, whet_str_from(name), 60);
}

static whet_status put_figure(whet_ctx *ctx, whet_i_buf *out, const page *p, int which) {
    const whet_i_trading_figure *f = &whet_i_trading_figures[which];
    if (!f->there(p->result)) return WHET_OK;
    WHET_PUT("<div class=\"wide\">");
    WHET_TRY(f->draw(ctx, p->result, p->series, true, out));
    WHET_PUT("</div>\n");
    return WHET_OK;
}

/* ---- what it says -------------------------------------------------------------------------- */

static whet_status put_answers(whet_ctx *ctx, whet_i_buf *out, const whet_i_answers *a) {
    for (int i = 0; i < WHET_I_ANSWERS; i++) {
        if (!a->answer[i].data) continue;
        WHET_PUT("<p><b>%s</b> ", a->question[i]);
        WHET_TRY(whet_i_html(ctx, out, whet_str_from(a->answer[i].data)));
        WHET_PUT("</p>\n");
    }
    if (a->caution.data) WHET_PUT("<p><b>Caution.</b> %s</p>\n", a->caution.data);
    return WHET_OK;
}

static whet_status put_head(whet_ctx *ctx, whet_i_buf *out, const page *p) {
    whet_i_answers answers = {0};
    WHET_PUT("<h1>What trading weights gave</h1>\n<p class=\"soft\">");
    WHET_TRY(put_name(ctx, out, p->result->name ? p->result->name : ""));
    WHET_PUT("; whet market simulate %s</p>\n", whet_version());
    whet_status status = whet_i_trading_answers(ctx, p->ends, &answers);
    if (status == WHET_OK) status = put_answers(ctx, out, &answers);
    whet_i_answers_free(ctx, &answers);
    return status;
}

/* ---- what was done ------------------------------------------------------------------------- */

static whet_status put_agents(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r) {
    char count[WHET_COUNT_SIZE];
    WHET_PUT("<div class=\"wide\"><table><tr><th>agent</th><th class=\"n\">trains on</th>"
             "<th></th></tr>\n");
    for (int64_t a = 0; a < r->n_agents; a++) {
        WHET_PUT("<tr><td>");
        WHET_TRY(put_name(ctx, out, r->agents[a]));
        WHET_PUT("</td><td class=\"n\">%s examples</td><td class=\"soft\">%s</td></tr>\n",
                 whet_i_count(count, r->examples[a]),
                 r->competitors && r->competitors[a] ? "competes: its gain costs who sells to it"
                                                     : "");
    }
    if (r->arms[WHET_ARM_BANK])
        WHET_PUT("<tr><td>bank</td><td class=\"n\">%s examples</td><td></td></tr>\n",
                 whet_i_count(count, r->n_train));
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status put_splits(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r) {
    char a[WHET_COUNT_SIZE], b[WHET_COUNT_SIZE], c[WHET_COUNT_SIZE];
    WHET_PUT("<div class=\"wide\"><table><tr><th>what</th><th>was measured on</th></tr>\n");
    if (r->n_gate > 0) {
        WHET_PUT(
            "<tr><td>mixing weights, the order of units</td><td>%s examples of the broker, the "
            "selection; nobody trains on them</td></tr>\n"
            "<tr><td>whether a purchase gains, its value</td><td>%s other examples of the "
            "broker, the gate; nobody trains on them</td></tr>\n"
            "<tr><td>accuracy and loss on this page</td><td>%s test examples, which nothing "
            "else looks at</td></tr>\n",
            whet_i_count(a, r->n_select), whet_i_count(b, r->n_gate), whet_i_count(c, r->n_test));
        if (r->norms_measured)
            WHET_PUT("<tr><td>means and variances of batch norms, in every arm alike</td><td>the "
                     "selection, whenever a network is judged</td></tr>\n");
    } else {
        WHET_PUT("<tr><td>mixing weights, whether a purchase gains, accuracy and loss on this "
                 "page</td><td>the same %s test examples</td></tr>\n",
                 whet_i_count(a, r->n_test));
    }
    WHET_PUT(
        "</table></div>\n<p class=\"soft\">Intervals hold 95 %% by Student's t over seeds, which "
        "change how networks begin and in which order they see examples, %s. Differences are "
        "paired by seed. Each interval is by itself: of twenty "
        "without a difference, one is expected to show one.</p>\n",
        r->split_each ? "and who has which of them, the broker, too"
                      : "not which examples there are");
    return WHET_OK;
}

static whet_status put_config(whet_ctx *ctx, whet_i_buf *out, const char *text) {
    if (!text) return WHET_OK;
    WHET_PUT("<details><summary>The configuration</summary>\n<pre>");
    while (*text) {
        const int64_t line = (int64_t)strcspn(text, "\n");
        WHET_TRY(whet_i_html(ctx, out, (whet_str){text, line}));
        WHET_PUT("\n");
        text += line + (text[line] != '\0');
    }
    WHET_PUT("</pre></details>\n");
    return WHET_OK;
}

static whet_status put_settings(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r) {
    static const char *const meanings[WHET_ARMS] = {
        [WHET_ARM_SILO] = "agents train alone",
        [WHET_ARM_MARKET] = "agents trade, as configured",
        [WHET_ARM_NO_ALIGN] = "the same market, units as they are",
        [WHET_ARM_FEDAVG] = "in the same periods all get the mean of all weights",
        [WHET_ARM_BANK] = "one model, trained on all examples"};
    WHET_PUT("<h2>What was done</h2>\n<p>%" PRId64 " agents train for %" PRId64
             " epochs on examples of %" PRId64 " classes, under %" PRId64 " seed%s (",
             r->n_agents, r->epochs, r->classes, r->n_seeds, r->n_seeds == 1 ? "" : "s");
    for (int64_t s = 0; s < r->n_seeds && s < 20; s++)
        WHET_PUT("%s%" PRIu64, s ? ", " : "", r->seeds[s]);
    WHET_PUT("%s). From epoch %" PRId64 " on, in epochs that are multiples of %" PRId64
             ", weights change hands. Each arm begins alike:</p>\n<ul>\n",
             r->n_seeds > 20 ? ", .." : "", r->start, r->frequency);
    for (int arm = 0; arm < WHET_ARMS; arm++)
        if (r->arms[arm])
            WHET_PUT("<li><b>%s</b>: %s</li>\n", whet_arm_name((whet_arm)arm), meanings[arm]);
    WHET_PUT("</ul>\n");
    WHET_TRY(put_agents(ctx, out, r));
    WHET_TRY(put_config(ctx, out, r->config));
    WHET_PUT("<h2>What was measured on what</h2>\n");
    return put_splits(ctx, out, r);
}

/* ---- accuracy ------------------------------------------------------------------------------ */

/* What is beyond noise is bold; `sign`: as a difference. */
static whet_status put_estimate(whet_ctx *ctx, whet_i_buf *out, whet_i_estimate e, int digits,
                                bool sign) {
    const whet_i_verdict v = whet_i_verdict_of(e);
    const bool bold = sign && (v == WHET_I_ABOVE || v == WHET_I_BELOW);
    if (!isfinite(e.mean)) {
        WHET_PUT("<td></td>");
        return WHET_OK;
    }
    WHET_PUT("<td class=\"n\">%s", bold ? "<b>" : "");
    if (sign)
        WHET_PUT("%+.*f", digits, e.mean);
    else
        WHET_PUT("%.*f", digits, e.mean);
    WHET_PUT("%s", bold ? "</b>" : "");
    if (isfinite(e.half)) WHET_PUT(" <span class=\"soft\">&#177;%.*f</span>", digits, e.half);
    WHET_PUT("</td>");
    return WHET_OK;
}

static whet_i_estimate times(whet_i_estimate e, double factor) {
    return (whet_i_estimate){factor * e.mean, factor * e.half, e.n};
}

static whet_status put_arm_row(whet_ctx *ctx, whet_i_buf *out, const page *p, whet_arm arm,
                               int64_t agent) {
    const whet_trading_result *r = p->result;
    const bool mean = agent == WHET_MEAN_AGENT;
    WHET_PUT("<tr><td>%s</td><td>", whet_arm_name(arm));
    WHET_TRY(put_name(ctx, out, mean ? "mean" : r->agents[agent]));
    WHET_PUT("</td>");
    for (int loss = 0; loss < 2; loss++)
        for (int k = 0; k < 3; k++) {
            const whet_arm other = k == 0 ? WHET_ARMS : k == 1 ? WHET_ARM_SILO : WHET_ARM_BANK;
            if (other == arm || (other != WHET_ARMS && !r->arms[other])) {
                WHET_PUT("<td></td>");
                continue;
            }
            const whet_i_estimate e = whet_i_ends_compare(p->ends, arm, other, agent, loss == 1);
            WHET_TRY(put_estimate(ctx, out, loss ? e : times(e, 100), loss ? 4 : 2, k > 0));
        }
    WHET_PUT("</tr>\n");
    return WHET_OK;
}

static whet_status put_accuracy(whet_ctx *ctx, whet_i_buf *out, const page *p) {
    const whet_trading_result *r = p->result;
    WHET_PUT("<h2>Accuracy and loss</h2>\n<p>On test examples after %" PRId64
             " epochs, which need not be where training ends; means over seeds with half their "
             "95 %% interval. Differences of accuracy in points; bold where the interval does not "
             "hold 0. The bank is one model, held against each agent.</p>\n<div class=\"wide\">"
             "<table><tr><th>arm</th><th>agent</th><th class=\"n\">accuracy, %%</th><th "
             "class=\"n\">over silo</th><th class=\"n\">over bank</th><th class=\"n\">loss</th>"
             "<th class=\"n\">over silo</th><th class=\"n\">over bank</th></tr>\n",
             r->epochs);
    for (int arm = 0; arm < WHET_ARMS; arm++) {
        if (!r->arms[arm]) continue;
        for (int64_t a = 0; a < r->n_agents; a++)
            WHET_TRY(put_arm_row(ctx, out, p, (whet_arm)arm, a));
        WHET_TRY(put_arm_row(ctx, out, p, (whet_arm)arm, WHET_MEAN_AGENT));
    }
    WHET_PUT(
        "</table></div>\n<p>Over epochs: lines are means over seeds, bands from the least to the "
        "greatest seed. Axes follow what comes after the first fifth of the epochs.</p>\n");
    return put_figure(ctx, out, p, WHET_I_FIGURE_CONVERGENCE);
}

/* ---- trades -------------------------------------------------------------------------------- */

static whet_status put_outcomes(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                                whet_arm arm) {
    static const char *const meanings[WHET_TRADE_OUTCOMES] = {
        [WHET_TRADE_BOUGHT] = "bought",
        [WHET_TRADE_NO_GAIN] = "no gain that the gate believes",
        [WHET_TRADE_NO_PRICE] = "no price that suits both",
        [WHET_TRADE_REFUSED] = "dearer than the buyer's value",
        [WHET_TRADE_NO_MONEY] = "more than the buyer can pay",
        [WHET_TRADE_OTHER] = "another seller's offer was better",
        [WHET_TRADE_OUTBID] = "another buyer bid more",
        [WHET_TRADE_NOT_TRIED] = "not tried: little expected, or no money for it"};
    char count[WHET_COUNT_SIZE];
    int64_t n[WHET_TRADE_OUTCOMES] = {0}, all = 0;
    for (int64_t i = 0; i < r->n_trials; i++)
        if (r->trials[i].arm == arm) {
            n[r->trials[i].outcome]++;
            all++;
        }
    WHET_PUT("<tr><td>%s</td><td>all</td><td class=\"n\">%s</td><td></td></tr>\n",
             whet_arm_name(arm), whet_i_count(count, all));
    for (int o = 0; o < WHET_TRADE_OUTCOMES; o++)
        if (n[o])
            WHET_PUT("<tr><td></td><td>%s</td><td class=\"n\">%s</td><td class=\"barcell\"><span "
                     "class=\"bar\" style=\"width:%.1f%%\"></span></td></tr>\n",
                     meanings[o], whet_i_count(count, n[o]), 100 * (double)n[o] / (double)all);
    return WHET_OK;
}

static whet_status put_across(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                              const char *before) {
    for (int64_t a = 0; a < r->n_agents; a++) {
        WHET_PUT("<th class=\"n\">%s", before);
        WHET_TRY(put_name(ctx, out, r->agents[a]));
        WHET_PUT("</th>");
    }
    return WHET_OK;
}

static whet_status put_deal_rows(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                                 const int64_t *counts) {
    for (int64_t b = 0; b < r->n_agents; b++) {
        WHET_PUT("<tr><td>");
        WHET_TRY(put_name(ctx, out, r->agents[b]));
        WHET_PUT("</td>");
        for (int64_t s = 0; s < r->n_agents; s++)
            if (s == b)
                WHET_PUT("<td></td>");
            else
                WHET_PUT("<td class=\"n\">%.1f</td>",
                         (double)counts[b * r->n_agents + s] / (double)r->n_seeds);
        WHET_PUT("</tr>\n");
    }
    return WHET_OK;
}

/* Purchases of each buyer (down) from each seller, a seed on average. */
static whet_status put_deals(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                             whet_arm arm) {
    int64_t size, *counts;
    WHET_PUT("<p>Purchases in %s, a seed on average, buyers down and sellers across:</p>\n<div "
             "class=\"wide\"><table><tr><th></th>",
             whet_arm_name(arm));
    WHET_TRY(put_across(ctx, out, r, ""));
    WHET_PUT("</tr>\n");
    WHET_TRY(whet_i_mul(ctx, r->n_agents, r->n_agents, &size));
    WHET_TRY(whet_i_calloc(ctx, size, &counts));
    for (int64_t i = 0; i < r->n_trials; i++) {
        const whet_trading_trial *t = &r->trials[i];
        if (t->arm == arm && t->outcome == WHET_TRADE_BOUGHT)
            counts[t->buyer * r->n_agents + t->seller]++;
    }
    const whet_status status = put_deal_rows(ctx, out, r, counts);
    whet_i_free(ctx, counts);
    WHET_TRY(status);
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status put_trades(whet_ctx *ctx, whet_i_buf *out, const page *p) {
    const whet_trading_result *r = p->result;
    if (!r->arms[WHET_ARM_MARKET] && !r->arms[WHET_ARM_NO_ALIGN]) return WHET_OK;
    WHET_PUT("<h2>Trades</h2>\n");
    if (r->n_trials == 0) {
        WHET_PUT("<p>Nothing was tried.</p>\n");
        return WHET_OK;
    }
    WHET_PUT("<p>How trials ended, of a seller's weights for a buyer, over all seeds:</p>\n"
             "<div class=\"wide\"><table><tr><th>arm</th><th>trials</th><th class=\"n\"></th>"
             "<th></th></tr>\n");
    for (int arm = 0; arm < WHET_ARMS; arm++)
        if (whet_i_arm_trades(r, (whet_arm)arm)) WHET_TRY(put_outcomes(ctx, out, r, (whet_arm)arm));
    WHET_PUT("</table></div>\n");
    for (int arm = 0; arm < WHET_ARMS; arm++)
        if (whet_i_arm_trades(r, (whet_arm)arm)) WHET_TRY(put_deals(ctx, out, r, (whet_arm)arm));
    WHET_PUT(
        "<p>What a buyer's weights gained in each period: of the first purchase, or, where there "
        "was none (hollow marks), of the best that was tried, by the examples of the gate. Means "
        "over seeds, bands from the least to the greatest; lines are by buyer.</p>\n");
    WHET_TRY(put_figure(ctx, out, p, WHET_I_FIGURE_GAINS));
    WHET_PUT(
        "<p>The share of the seller's weights at which they were mixed in these trials:</p>\n");
    return put_figure(ctx, out, p, WHET_I_FIGURE_WEIGHTS);
}

/* ---- money --------------------------------------------------------------------------------- */

/* What each agent paid whom, [n_agents, n_agents + 2] a seed on average: agents, the broker, and in the last
 * column what it had from outside. */
static void add_flows(const whet_trading_result *r, whet_arm arm, double *paid) {
    const int64_t n = r->n_agents, wide = n + 2;
    for (int64_t i = 0; i < r->n_flows; i++) {
        const whet_trading_flow *f = &r->flows[i];
        const double amount = (double)f->amount / (double)r->n_seeds;
        if (f->arm != arm) continue;
        if (f->from == WHET_PARTY_OUTSIDE && f->to >= 0)
            paid[f->to * wide + n + 1] += amount;
        else if (f->from >= 0 && (f->to >= 0 || f->to == WHET_PARTY_BROKER))
            paid[f->from * wide + (f->to < 0 ? n : f->to)] += amount;
    }
}

static whet_status put_flow_rows(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                                 const double *paid) {
    const int64_t n = r->n_agents, wide = n + 2;
    for (int64_t from = 0; from < n; from++) {
        const double *row = paid + from * wide;
        double all = 0;
        WHET_PUT("<tr><td>");
        WHET_TRY(put_name(ctx, out, r->agents[from]));
        WHET_PUT("</td><td class=\"n\">%.1f</td>", row[n + 1]);
        for (int64_t to = 0; to <= n; to++) {
            if (to == from)
                WHET_PUT("<td></td>");
            else
                WHET_PUT("<td class=\"n\">%.1f</td>", row[to]);
            all += row[to];
        }
        WHET_PUT("<td class=\"n\">%.1f</td></tr>\n", all);
    }
    return WHET_OK;
}

static whet_status put_flows(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                             whet_arm arm) {
    double *paid;
    int64_t size;
    WHET_PUT("<p>Who paid whom in %s, a seed on average:</p>\n<div class=\"wide\"><table><tr>"
             "<th>from</th><th class=\"n\">began with</th>",
             whet_arm_name(arm));
    WHET_TRY(put_across(ctx, out, r, "to "));
    WHET_PUT("<th class=\"n\">to the broker</th><th class=\"n\">paid in all</th></tr>\n");
    WHET_TRY(whet_i_mul(ctx, r->n_agents, r->n_agents + 2, &size));
    WHET_TRY(whet_i_calloc(ctx, size, &paid));
    add_flows(r, arm, paid);
    const whet_status status = put_flow_rows(ctx, out, r, paid);
    whet_i_free(ctx, paid);
    WHET_TRY(status);
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status put_part(whet_ctx *ctx, whet_i_buf *out, const char *who, const whet_i_shares *s,
                            whet_i_estimate part) {
    WHET_PUT("<tr><td>%s</td>", who);
    WHET_TRY(put_estimate(ctx, out, part, 1, false));
    if (s->total.mean > 0 && isfinite(part.mean))
        WHET_PUT("<td class=\"n\">%.1f %%</td>", 100 * part.mean / s->total.mean);
    else
        WHET_PUT("<td></td>");
    WHET_PUT("</tr>\n");
    return WHET_OK;
}

static whet_status put_agent_surplus(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                                     whet_arm arm) {
    WHET_PUT("<div class=\"wide\"><table><tr><th>agent</th><th class=\"n\">bought</th><th "
             "class=\"n\">sold</th><th class=\"n\">paid</th><th class=\"n\">received</th><th "
             "class=\"n\">surplus as buyer</th><th class=\"n\">as seller</th></tr>\n");
    for (int64_t i = 0; i < r->n_surplus; i++) {
        const whet_trading_surplus *s = &r->surplus[i];
        if (s->arm != arm) continue;
        WHET_PUT("<tr><td>");
        WHET_TRY(put_name(ctx, out, r->agents[s->agent]));
        WHET_PUT(
            "</td><td class=\"n\">%.1f</td><td class=\"n\">%.1f</td><td class=\"n\">%.1f</td><td "
            "class=\"n\">%.1f</td><td class=\"n\">%+.1f</td><td class=\"n\">%+.1f</td></tr>\n",
            s->bought, s->sold, s->paid, s->received, s->buyer, s->seller);
    }
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status put_surplus(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                               whet_arm arm) {
    whet_i_shares s;
    WHET_TRY(whet_i_trading_shares(ctx, r, arm, &s));
    WHET_PUT(
        "<p>The surplus of %s, the buyers' value of what was bought less what the sellers had "
        "to get, a seed on average; trials that led to nothing are the buyers' loss:</p>\n<div "
        "class=\"wide\"><table><tr><th>who</th><th class=\"n\">surplus</th><th class=\"n\">"
        "share</th></tr>\n",
        whet_arm_name(arm));
    WHET_TRY(put_part(ctx, out, "buyers", &s, s.buyers));
    WHET_TRY(put_part(ctx, out, "sellers", &s, s.sellers));
    WHET_TRY(put_part(ctx, out, "broker", &s, s.broker));
    WHET_TRY(put_part(ctx, out, "all", &s, s.total));
    WHET_PUT("</table></div>\n");
    return put_agent_surplus(ctx, out, r, arm);
}

static whet_status put_money(whet_ctx *ctx, whet_i_buf *out, const page *p) {
    const whet_trading_result *r = p->result;
    if (!r->money) return WHET_OK;
    WHET_PUT("<h2>Money</h2>\n");
    for (int arm = 0; arm < WHET_ARMS; arm++) {
        if (!whet_i_arm_has_money(r, (whet_arm)arm)) continue;
        WHET_TRY(put_surplus(ctx, out, r, (whet_arm)arm));
        WHET_TRY(put_flows(ctx, out, r, (whet_arm)arm));
    }
    WHET_PUT(
        "<p>Prices that were asked, filled where somebody paid, and what agents have won or lost "
        "by trade so far, fees included:</p>\n");
    return put_figure(ctx, out, p, WHET_I_FIGURE_MONEY);
}

/* ---- the page and the files ---------------------------------------------------------------- */

static whet_status put_page(whet_ctx *ctx, whet_i_buf *out, const page *p) {
    WHET_TRY(whet_i_html_head(ctx, out, "What trading weights gave"));
    WHET_TRY(put_head(ctx, out, p));
    WHET_TRY(put_accuracy(ctx, out, p));
    WHET_TRY(put_trades(ctx, out, p));
    WHET_TRY(put_money(ctx, out, p));
    WHET_TRY(put_settings(ctx, out, p->result));
    WHET_PUT("<p class=\"soft\">Every number is in the tables beside this page.</p>\n"
             "</body>\n</html>\n");
    return WHET_OK;
}

static whet_status write_figures(whet_ctx *ctx, const page *p, const char *folder) {
    for (int i = 0; i < WHET_I_FIGURES; i++) {
        const whet_i_trading_figure *f = &whet_i_trading_figures[i];
        whet_i_buf svg = {0};
        if (!f->there(p->result)) continue;
        whet_status status = f->draw(ctx, p->result, p->series, false, &svg);
        if (status == WHET_OK)
            status = whet_i_write_file(ctx, folder, f->file, false, svg.data, svg.len);
        whet_i_buf_free(ctx, &svg);
        WHET_TRY(status);
    }
    return WHET_OK;
}

whet_status whet_trading_report(whet_ctx *ctx, const whet_trading_result *result,
                                const char *folder) {
    whet_i_trading_series series = {0};
    whet_i_ends ends = {0};
    const page p = {result, &series, &ends};
    whet_i_buf html = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_trading_series_make(ctx, result, &series));
    WHET_TRY_DONE(whet_i_ends_find(ctx, result, &ends));
    WHET_TRY_DONE(put_page(ctx, &html, &p));
    WHET_TRY_DONE(whet_i_write_file(ctx, folder, "report.html", false, html.data, html.len));
    status = write_figures(ctx, &p, folder);
done:
    whet_i_buf_free(ctx, &html);
    whet_i_ends_free(ctx, &ends);
    whet_i_trading_series_free(ctx, &series);
    return status;
}
