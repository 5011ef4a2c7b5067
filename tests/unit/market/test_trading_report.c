/* SPDX-License-Identifier: Apache-2.0
 * The page, the pictures and the sentences about a simulated market, of results made by hand: the numbers as
 * counted on paper, words that follow intervals, names escaped, every document with its tags in order; also
 * of one seed, one epoch, no trades, no money, numbers that are none. */
#include "market_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "market/trading_report.h"

/* ---- results made by hand ------------------------------------------------------------------ */

enum { SCORES_MAX = 40000, TRIALS_MAX = 64 };

typedef struct made {
    whet_trading_result r;
    const char *names[16];
    uint64_t seeds[8];
    int64_t examples[16];
    bool competitors[16];
    whet_trading_score scores[SCORES_MAX];
    whet_trading_trial trials[TRIALS_MAX];
    whet_trading_wallet wallets[TRIALS_MAX];
    whet_trading_flow flows[TRIALS_MAX];
    whet_trading_surplus surplus[32];
} made;

/* Last epochs, [arm][agent][seed]: silo A .80 .82, B .70 .72; in the market 3, 4 and 3, 2 points more. */
static double accuracy_of(whet_arm arm, int64_t agent, int64_t seed) {
    static const double silo[2][2] = {{.80, .82}, {.70, .72}};
    static const double market[2][2] = {{.83, .86}, {.73, .74}};
    static const double no_align[2][2] = {{.79, .81}, {.69, .71}};
    static const double fedavg[2][2] = {{.75, .90}, {.65, .80}};
    switch (arm) {
    case WHET_ARM_SILO: return silo[agent % 2][seed % 2];
    case WHET_ARM_MARKET: return market[agent % 2][seed % 2];
    case WHET_ARM_NO_ALIGN: return no_align[agent % 2][seed % 2];
    case WHET_ARM_FEDAVG: return fedavg[agent % 2][seed % 2];
    default: return seed ? .94 : .92;
    }
}

static void put_score(made *m, int64_t seed, whet_arm arm, int64_t agent, int64_t epoch) {
    const double accuracy = accuracy_of(arm, agent < 0 ? 0 : agent, seed);
    assert_true(m->r.n_scores < SCORES_MAX);
    m->scores[m->r.n_scores++] = (whet_trading_score){
        .seed = seed,
        .arm = arm,
        .agent = agent,
        .epoch = epoch,
        .test_accuracy = accuracy - .01 * (double)(m->r.epochs - 1 - epoch),
        .test_loss = 2 * (1 - accuracy) + .1 * (double)(m->r.epochs - 1 - epoch)};
}

static made *make(int64_t agents, int64_t seeds, int64_t epochs, const bool arms[WHET_ARMS]) {
    made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->r = (whet_trading_result){.n_agents = agents,
                                 .n_seeds = seeds,
                                 .epochs = epochs,
                                 .classes = 10,
                                 .agents = m->names,
                                 .seeds = m->seeds,
                                 .examples = m->examples,
                                 .competitors = m->competitors,
                                 .n_train = 12345,
                                 .n_select = 1001,
                                 .norms_measured = true,
                                 .n_gate = 1002,
                                 .n_test = 1003,
                                 .start = 1,
                                 .frequency = 1,
                                 .name = "by <hand> & \"eye\"",
                                 .scores = m->scores,
                                 .trials = m->trials,
                                 .wallets = m->wallets,
                                 .flows = m->flows,
                                 .surplus = m->surplus};
    memcpy(m->r.arms, arms, sizeof m->r.arms);
    for (int64_t a = 0; a < agents; a++) {
        m->names[a] = a == 0 ? "A<&\">'" : "B";
        m->examples[a] = 1000 * (a + 1);
    }
    for (int64_t s = 0; s < seeds; s++) {
        m->seeds[s] = (uint64_t)(100 + s);
        for (int arm = 0; arm < WHET_ARMS; arm++)
            for (int64_t e = 0; arms[arm] && e < epochs; e++)
                for (int64_t a = 0; a < (arm == WHET_ARM_BANK ? 1 : agents); a++)
                    put_score(m, s, (whet_arm)arm, arm == WHET_ARM_BANK ? -1 : a, e);
    }
    return m;
}

static const bool all_arms[WHET_ARMS] = {true, true, true, true, true};

/* A purchase of weights of `seller`; or a trial that its outcome says led to none. */
static void put_trial(made *m, whet_trading_trial t) {
    assert_true(m->r.n_trials < TRIALS_MAX);
    m->trials[m->r.n_trials++] = t;
}

static whet_trading_trial bought(int64_t seed, int64_t epoch, double value) {
    return (whet_trading_trial){.seed = seed,
                                .arm = WHET_ARM_MARKET,
                                .epoch = epoch,
                                .buyer = 0,
                                .seller = 1,
                                .weight = .25,
                                .gain = .1,
                                .gate = true,
                                .value = value,
                                .reservation = 25,
                                .posted = true,
                                .price = 60,
                                .buyer_pays = 60,
                                .seller_gets = 55,
                                .fees = 5,
                                .outcome = WHET_TRADE_BOUGHT};
}

static whet_trading_trial not_bought(int64_t seed, int64_t epoch, whet_trade_outcome outcome) {
    const bool tried = outcome != WHET_TRADE_NOT_TRIED;
    return (whet_trading_trial){.seed = seed,
                                .arm = WHET_ARM_MARKET,
                                .epoch = epoch,
                                .buyer = 1,
                                .seller = 0,
                                .weight = tried ? .75 : (double)NAN,
                                .gain = tried ? -.05 : (double)NAN,
                                .value = (double)NAN,
                                .reservation = (double)NAN,
                                .fees = tried ? 2 : 0,
                                .outcome = outcome};
}

/* Two agents, two seeds, three epochs, money. Surplus: seed 0 buyers 40, sellers 30, broker 5; seed 1 buyers
 * 20 - 2, sellers 30, broker 5 + 2. */
static made *make_market(void) {
    made *m = make(2, 2, 3, all_arms);
    m->r.config = "{\n  \"name\": \"<\"\n}";
    whet_trading_flow flows[] = {{0, WHET_ARM_MARKET, 0, WHET_PARTY_OUTSIDE, 0, 1000},
                                 {1, WHET_ARM_MARKET, 0, WHET_PARTY_OUTSIDE, 0, 1000},
                                 {0, WHET_ARM_MARKET, 1, 0, 1, 55},
                                 {0, WHET_ARM_MARKET, 1, 0, WHET_PARTY_BROKER, 5},
                                 {1, WHET_ARM_MARKET, 2, 0, 1, 55},
                                 {1, WHET_ARM_MARKET, 2, 0, WHET_PARTY_BROKER, 5},
                                 {1, WHET_ARM_MARKET, 2, 1, WHET_PARTY_BROKER, 2},
                                 {0, WHET_ARM_NO_ALIGN, 1, 1, 0, 777}};
    m->r.money = true;
    put_trial(m, bought(0, 1, 100));
    put_trial(m, not_bought(0, 2, WHET_TRADE_NOT_TRIED));
    put_trial(m, bought(1, 2, 80));
    put_trial(m, not_bought(1, 2, WHET_TRADE_NO_GAIN));
    memcpy(m->flows, flows, sizeof flows);
    m->r.n_flows = WHET_COUNT_OF(flows);
    for (int64_t s = 0; s < 2; s++)
        for (int64_t e = 0; e < 3; e++)
            for (int64_t a = 0; a < 2; a++)
                m->wallets[m->r.n_wallets++] =
                    (whet_trading_wallet){s, WHET_ARM_MARKET, e, a, 1000 - 60 * e + 100 * a};
    m->surplus[0] = (whet_trading_surplus){WHET_ARM_MARKET, 0, 1, 0, 60, 0, 30, 0};
    m->surplus[1] = (whet_trading_surplus){WHET_ARM_MARKET, 1, 0, 1, 1, 55, -1, 30};
    m->r.n_surplus = 2;
    return m;
}

/* ---- what was written ---------------------------------------------------------------------- */

static const char *const files[] = {"report.html", "convergence.svg", "gains.svg", "weights.svg",
                                    "money.svg"};

static void remove_files(void) {
    for (int i = 0; i < WHET_COUNT_OF(files); i++) (void)unlink(test_tmp(files[i]));
}

/* The folder of temporary files. */
static const char *folder(void) {
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s", test_tmp("x"));
    *strrchr(path, '/') = '\0';
    return path;
}

/* NULL where there is no such file; by free. */
static char *read_text(const char *name) {
    FILE *file = fopen(test_tmp(name), "rb");
    if (!file) return NULL;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file);
    char *text = calloc(1, (size_t)size + 1);
    rewind(file);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), (size_t)size);
    (void)fclose(file);
    return text;
}

/* Every tag closed in order, but for HTML's that have no end; attributes quoted; & and < only as markup. */
static void check_tags(const char *text) {
    char open[64][16];
    int depth = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '&') {
            const size_t n = strspn(p + 1, "#abcdefghijklmnopqrstuvwxyz0123456789");
            if (n == 0 || p[1 + n] != ';') fail_msg("a bare &: %.40s", p);
        }
        if (*p != '<' || p[1] == '!') continue;
        const bool closes = p[1] == '/';
        const char *name = p + 1 + closes;
        const size_t n = strcspn(name, " \t\r\n/>");
        const char *end = name + n;
        for (bool quoted = false; *end && (quoted || *end != '>'); end++) {
            if (*end == '"') quoted = !quoted;
            if (*end == '<') fail_msg("a bare < in a tag: %.40s", p);
        }
        if (!*end || n == 0 || n > 15) fail_msg("no tag: %.40s", p);
        if (closes) {
            if (!depth || strlen(open[depth - 1]) != n || strncmp(open[depth - 1], name, n) != 0)
                fail_msg("closed out of order: %.40s", p);
            depth--;
        } else if (end[-1] != '/' && !(n == 4 && strncmp(name, "meta", 4) == 0)) {
            assert_true(depth < 64);
            (void)snprintf(open[depth++], 16, "%.*s", (int)n, name);
        }
        p = end;
    }
    assert_int_equal(depth, 0);
}

static void check_numbers(const char *text) {
    static const char *const no[] = {"nan", "-inf", ">inf", "\"inf", ",inf", " inf"};
    for (int i = 0; i < WHET_COUNT_OF(no); i++) {
        const char *at = strstr(text, no[i]);
        if (at) fail_msg("%s in: %.60s", no[i], at - (at - text > 30 ? 30 : at - text));
    }
}

static void has(const char *text, const char *part) {
    if (!text || !strstr(text, part)) fail_msg("lacks: %s", part);
}

static void lacks(const char *text, const char *part) {
    if (!text || strstr(text, part)) fail_msg("has: %s", part);
}

/* Writes all, checks all documents; returns the page, and whether pictures of trades and money are there. */
static char *report(whet_ctx *ctx, const made *m, bool trades, bool money) {
    const bool there[] = {true, true, trades, trades, money};
    char *page = NULL;
    remove_files();
    test_ok(ctx, whet_trading_report(ctx, &m->r, folder()));
    for (int i = 0; i < WHET_COUNT_OF(files); i++) {
        char *text = read_text(files[i]);
        if ((text != NULL) != there[i]) fail_msg("%s is%s there", files[i], text ? "" : " not");
        if (!text) continue;
        check_tags(text);
        check_numbers(text);
        if (i == 0)
            page = text;
        else
            free(text);
    }
    remove_files();
    return page;
}

static char *answers(whet_ctx *ctx, const made *m) {
    char *text = NULL;
    test_ok(ctx, whet_trading_answers(ctx, &m->r, &text));
    assert_non_null(text);
    check_numbers(text);
    return text;
}

/* ---- estimates ----------------------------------------------------------------------------- */

/* Of 1, 2, 4: mean 7/3, variance 7/3, t = 4.303: half = 4.303 sqrt(7) / 3. */
static void test_estimates(void **state) {
    (void)state;
    const double x[] = {1, 2, 4}, same[] = {.5, .5}, none[] = {1, (double)NAN};
    const whet_i_estimate e = whet_i_estimate_of(x, 3);
    close_to(e.mean, 7 / 3., 1e-15); /* three roundings */
    close_to(e.half, 4.302652729749464 * sqrt(7) / 3, 1e-12);
    assert_int_equal(whet_i_verdict_of(e), WHET_I_NOISE); /* 2.33 - 3.79 < 0 */
    assert_int_equal(whet_i_verdict_of(whet_i_estimate_of(same, 2)), WHET_I_ABOVE);
    assert_int_equal(whet_i_verdict_of(whet_i_estimate_of(same, 1)), WHET_I_UNTOLD);
    assert_int_equal(whet_i_verdict_of(whet_i_estimate_of(none, 2)), WHET_I_UNTOLD);
    assert_int_equal(whet_i_verdict_of((whet_i_estimate){-2, 1, 9}), WHET_I_BELOW);
    assert_int_equal(whet_i_verdict_of((whet_i_estimate){1, 1, 9}), WHET_I_NOISE); /* touches 0 */
    assert_int_equal(whet_i_verdict_of((whet_i_estimate){0, 0, 9}), WHET_I_NOISE);
}

/* ---- the answers --------------------------------------------------------------------------- */

/* A: +3, +4: 3.5 +- 12.706 x .5; B: +3, +2; their mean +3, +3. Loss is twice the error. Surplus: 40 and 18 of
 * buyers less 30 of sellers, 10 and -12: -1 +- 12.706 x 11. */
static void test_answers(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    char *text = answers(ctx, m);
    has(text,
        "Do agents gain against training alone? Yes, on average: in the market test accuracy ends "
        "at "
        "79.00 %, alone at 76.00 %, a difference of +3.00 points (95 %: +3.00 to +3.00), 2 seeds. "
        "Test loss: -0.0600 (95 %: -0.0600 to -0.0600), better.\n");
    has(text, "Each of them? No difference beyond noise (no different beyond noise: A<&\">' +3.50, "
              "B +2.50; "
              "points of test accuracy against training alone, each interval by itself).\n");
    has(text, "Also when they compete? Nobody's gain costs another agent anything here");
    has(text, "Who captures the surplus? Of 65 a seed, buyers have 45 %, sellers 46 % and the "
              "broker 9 %, by "
              "the valuations that the configuration gives them: no difference between buyers and "
              "sellers "
              "beyond noise (buyers less sellers, 95 %: -141 to +139).\n");
    /* means of agents: no-align +4, +4; fedavg 8, -5: 1.5 +- 12.706 x 6.5; bank 78 - 92, 80 - 94 */
    has(text, "(no-align): +4.00 points (95 %: +4.00 to +4.00), the market is ahead; against");
    has(text,
        "(fedavg): +1.50 points (95 %: -81.09 to +84.09), no difference beyond noise; against");
    has(text, "(bank): -14.00 points (95 %: -14.00 to -14.00), the market is behind.\n");
    lacks(text, "Caution");
    whet_free_text(ctx, text);
    free(m);
    test_ctx_done(ctx);
}

/* B alone competes; with scores that are the same under each seed its gain of 3 is beyond noise. */
static void test_competitors(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    m->competitors[1] = true;
    for (int64_t i = 0; i < m->r.n_scores; i++)
        if (m->scores[i].seed == 1)
            m->scores[i].test_accuracy = m->scores[i - m->r.n_scores / 2].test_accuracy;
    char *text = answers(ctx, m);
    has(text, "Each of them? Yes (gain: A<&\">' +3.00, B +3.00; points");
    has(text, "Also when they compete? Yes (gain: B +3.00; points");
    whet_free_text(ctx, text);
    for (int64_t i = 0; i < m->r.n_scores; i++)
        if (m->scores[i].arm == WHET_ARM_MARKET && m->scores[i].agent == 1)
            m->scores[i].test_accuracy = .1;
    text = answers(ctx, m);
    has(text, "gain against training alone? No, on average they lose: ");
    has(text,
        "Each of them? Not all: 1 of 2 beyond noise (gain: A<&\">' +3.00; lose: B -60.00; points");
    has(text, "Also when they compete? No: 1 of 1 lose beyond noise (lose: B -60.00; points");
    whet_free_text(ctx, text);
    free(m);
    test_ctx_done(ctx);
}

static void test_one_seed_tells_nothing(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make(2, 1, 3, all_arms);
    char *text = answers(ctx, m), *page = report(ctx, m, false, false);
    has(text, "alone? One seed cannot tell: in the market test accuracy ends at 78.00 %, alone at "
              "75.00 %, "
              "a difference of +3.00 points, 1 seed.");
    has(text, "Each of them? One seed cannot tell (cannot be told: A<&\">' +3.00, B +3.00; points");
    has(text, "Weights are given, not sold");
    lacks(text, "95 %");
    has(page, "<p>Nothing was tried.</p>");
    lacks(page, "&#177;");
    lacks(page, "<h2>Money</h2>");
    free(page);
    whet_free_text(ctx, text);
    free(m);
    test_ctx_done(ctx);
}

/* Weights chosen and judged by the test examples: the page says so before any figure. */
static void test_reference_is_cautioned(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    m->r.n_gate = 0;
    char *text = answers(ctx, m), *page = report(ctx, m, true, true);
    has(text, "\nCaution: Mixing weights were chosen, and purchases decided, by the test examples");
    has(page, "<b>Caution.</b> Mixing weights were chosen");
    has(page, "the same 1,003 test examples");
    assert_true(strstr(page, "<b>Caution.</b>") < strstr(page, "<h2>"));
    free(page);
    whet_free_text(ctx, text);
    free(m);
    test_ctx_done(ctx);
}

/* ---- the page ------------------------------------------------------------------------------ */

static void test_page(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    char *page = report(ctx, m, true, true);
    has(page, "by &lt;hand&gt; &amp; &quot;eye&quot;");
    lacks(page, "A<&");
    /* market, A: 84.5 +- 19.06; over silo 3, 4; over the bank -9, -8; loss .34, .28 */
    has(page, "<td>market</td><td>A&lt;&amp;&quot;&gt;&#39;</td><td class=\"n\">84.50 <span "
              "class=\"soft\">"
              "&#177;19.06</span></td><td class=\"n\">+3.50 <span "
              "class=\"soft\">&#177;6.35</span></td><td "
              "class=\"n\"><b>-8.50</b> <span class=\"soft\">&#177;6.35</span></td><td "
              "class=\"n\">0.3100 <span "
              "class=\"soft\">&#177;0.3812</span></td><td class=\"n\">-0.0700 <span "
              "class=\"soft\">&#177;0.1271"
              "</span></td>");
    /* the mean over silo is beyond noise, so bold */
    has(page, "<td>market</td><td>mean</td>");
    has(page, "<td class=\"n\"><b>+3.00</b> <span class=\"soft\">&#177;0.00</span></td>");
    /* of 4 trials 2 bought, 1 without gain, 1 not tried */
    has(page, "<td>bought</td><td class=\"n\">2</td><td class=\"barcell\"><span class=\"bar\" "
              "style=\"width:50.0%\"></span></td>");
    has(page, "<td>no gain that the gate believes</td><td class=\"n\">1</td>");
    has(page, "<td>not tried: little expected, or no money for it</td><td class=\"n\">1</td>");
    lacks(page, "dearer than the buyer");
    /* money: surplus by part, then who paid whom: of no-align 777 a seed are 388.5 */
    has(page, "<tr><td>buyers</td><td class=\"n\">29.0 <span class=\"soft\">&#177;139.8</span></td>"
              "<td class=\"n\">44.6 %</td></tr>");
    has(page, "<tr><td>sellers</td><td class=\"n\">30.0 <span class=\"soft\">&#177;0.0</span></td>"
              "<td class=\"n\">46.2 %</td></tr>");
    has(page, "<tr><td>broker</td><td class=\"n\">6.0 <span class=\"soft\">&#177;12.7</span></td>"
              "<td class=\"n\">9.2 %</td></tr>");
    has(page, "&#39;</td><td class=\"n\">1000.0</td><td></td><td class=\"n\">55.0</td><td "
              "class=\"n\">5.0</td>"
              "<td class=\"n\">60.0</td></tr>");
    has(page, "<tr><td>B</td><td class=\"n\">0.0</td><td class=\"n\">0.0</td><td></td><td "
              "class=\"n\">1.0</td>"
              "<td class=\"n\">1.0</td></tr>");
    has(page, "<td class=\"n\">388.5</td>");
    has(page, "<pre>{\n  &quot;name&quot;: &quot;&lt;&quot;\n}\n</pre>");
    has(page, "under 2 seeds (100, 101)");
    has(page, "1,001 examples of the broker, the selection");
    has(page, "1,002 other examples of the broker, the gate");
    has(page, "1,003 test examples, which nothing else looks at");
    has(page,
        "<tr><td>means and variances of batch norms, in every arm alike</td><td>the selection");
    has(page, "<td class=\"n\">12,345 examples</td>");
    free(page);
    free(m);
    test_ctx_done(ctx);
}

/* Same result, same bytes. */
static void test_same_bytes(void **state) {
    (void)state;
    made *m = make_market();
    char *text[2];
    for (int i = 0; i < 2; i++) {
        whet_ctx *ctx = test_ctx(i ? 5 : 1);
        text[i] = report(ctx, m, true, true);
        test_ctx_done(ctx);
    }
    assert_string_equal(text[0], text[1]);
    free(text[0]);
    free(text[1]);
    free(m);
}

/* ---- series and pictures ------------------------------------------------------------------- */

static void test_series(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    whet_i_trading_series s = {0};
    whet_trading_trial t =
        bought(1, 1, 100); /* greedy: bought second, gained more; what came first stands */
    whet_trading_trial better = not_bought(0, 1, WHET_TRADE_REFUSED);
    better.gain = .2;
    better.posted = true;
    better.price = 90;
    t.gain = .04;
    put_trial(m, t);
    t.round = 1;
    t.gain = .5;
    put_trial(m, t);
    put_trial(
        m, not_bought(0, 1, WHET_TRADE_NO_GAIN)); /* of a turn without a purchase the best stands */
    put_trial(m, better);
    test_ok(ctx, whet_i_trading_series_make(ctx, &m->r, &s));
    const whet_i_spread *a = whet_i_spreads_line(&s.gain, 0), *b = whet_i_spreads_line(&s.gain, 1);
    assert_int_equal(a[1].n, 2);
    close_to(a[1].low, 4, 1e-12); /* per cent of .04: a rounding */
    close_to(a[1].high, 10, 1e-12);
    assert_int_equal(a[0].n, 0);
    close_to(b[1].sum, 20, 1e-12);
    close_to(whet_i_spreads_line(&s.bought, 0)[1].sum, 2, 0);
    close_to(whet_i_spreads_line(&s.bought, 1)[1].sum, 0, 0);
    close_to(whet_i_spreads_line(&s.weight, 1)[1].sum, .75, 0);
    assert_int_equal(whet_i_spreads_line(&s.price, 1)[1].n, 3); /* B's offers */
    close_to(whet_i_spreads_line(&s.price, 0)[1].high, 90, 0);
    close_to(whet_i_spreads_line(&s.sold, 0)[1].sum, 0, 0);
    close_to(whet_i_spreads_line(&s.wallet, 0)[2].low, -120, 0); /* began with 1000 */
    close_to(whet_i_spreads_line(&s.wallet, 1)[2].low, 980, 0);
    close_to(whet_i_spreads_line(&s.accuracy, 1 * 3 + 0)[2].low, 83, 1e-12);
    close_to(whet_i_spreads_line(&s.accuracy, WHET_ARM_BANK * 3 + 2)[0].high, 92, 1e-12);
    whet_i_trading_series_free(ctx, &s);
    free(m);
    test_ctx_done(ctx);
}

/* 1,001 epochs in cells of 3: epochs 1, 4, .. 1000 are kept, and trades of all of them. */
static void test_many_epochs(void **state) {
    static const bool arms[WHET_ARMS] = {true, true};
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make(2, 2, 1001, arms);
    whet_i_trading_series s = {0};
    for (int64_t e = 999; e <= 1000; e++) put_trial(m, bought(0, e, 100));
    test_ok(ctx, whet_i_trading_series_make(ctx, &m->r, &s));
    assert_int_equal(s.loss.n, 334);
    assert_int_equal(s.loss.offset + (s.loss.n - 1) * s.loss.stride, 1000);
    for (int64_t i = 0; i < s.loss.n; i++) {
        const whet_i_spread *c = &whet_i_spreads_line(&s.loss, 0)[i];
        assert_int_equal(c->n, 2);
        /* silo A of seed 1: .36 after the last epoch, .1 more for each one before */
        close_to(c->low, .36 + .1 * (double)(999 - 3 * i), 1e-9);
    }
    assert_int_equal(whet_i_spreads_line(&s.bought, 0)[333].n, 2);
    whet_i_trading_series_free(ctx, &s);
    free(report(ctx, m, true, false));
    free(m);
    test_ctx_done(ctx);
}

/* Whose curve is where, on an axis of round ends: accuracy 65 to 95, epochs 0 to 2; a panel is 360 by 160. */
static void test_convergence_points(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make(1, 1, 3, all_arms);
    char expected[256];
    whet_i_buf svg = {0};
    whet_i_trading_series s = {0};
    int length = 0;
    test_ok(ctx, whet_i_trading_series_make(ctx, &m->r, &s));
    test_ok(ctx, whet_i_trading_figures[0].draw(ctx, &m->r, &s, false, &svg));
    for (int e = 0; e < 3;
         e++) /* the market's: 81, 82, 83, between 70 (fedavg's 73) and 95 (the bank's 92) */
        length += snprintf(expected + length, sizeof expected - (size_t)length, "%.1f,%.1f ",
                           58 + 360. * e / 2, 58 + (95 - 81. - e) / 25 * 160);
    has(svg.data, expected);
    has(svg.data, "stroke=\"#0072b2\"");
    has(svg.data, "xmlns=\"http://www.w3.org/2000/svg\"");
    lacks(svg.data, "<polygon"); /* one seed has no band */
    whet_i_buf_free(ctx, &svg);
    whet_i_trading_series_free(ctx, &s);
    free(m);
    test_ctx_done(ctx);
}

/* ---- what is odd --------------------------------------------------------------------------- */

static void test_odd_results(void **state) {
    static const bool alone[WHET_ARMS] = {[WHET_ARM_SILO] = true, [WHET_ARM_BANK] = true};
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make(2, 2, 1, alone); /* nobody trades */
    char *page = report(ctx, m, false, false);
    has(page, "No market was followed.");
    lacks(page, "<h2>Trades</h2>");
    free(page);
    free(m);
    m = make(16, 3, 5, all_arms); /* many agents, of long names, in letters of several bytes */
    for (int a = 0; a < 16; a++)
        m->names[a] =
            a % 2 ? "\xc3\xa9\xc3\xa9\xc3\xa9 of a very long name that no legend has room for"
                  : "\xff\x01 no text";
    put_trial(m, bought(2, 4, 1e15));
    free(report(ctx, m, true, false));
    free(m);
    m = make_market(); /* numbers that are none, rows that are not there */
    for (int64_t i = 0; i < m->r.n_scores; i++)
        if (m->scores[i].agent == 1) m->scores[i].test_accuracy = (double)NAN;
    m->scores[0].test_loss = (double)INFINITY;
    char *text = answers(ctx, m);
    has(text, "alone? That was not measured.");
    has(text, "cannot be told: B (not measured)");
    whet_free_text(ctx, text);
    free(report(ctx, m, true, true));
    m->r.n_scores = m->r.n_trials = m->r.n_flows = m->r.n_wallets = m->r.n_surplus = 0;
    m->r.competitors = NULL;
    m->r.name = NULL;
    remove_files();
    test_ok(ctx, whet_trading_report(ctx, &m->r, folder()));
    page = read_text("report.html");
    check_tags(page);
    check_numbers(page);
    has(page, "Nothing was sold, so there is none.");
    free(page);
    remove_files();
    free(m);
    test_ctx_done(ctx);
}

/* Deals at a loss, or trials that lead to none, have no shares. */
static void test_surplus_below_zero(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    m->trials[0].value = 50;
    m->trials[2].value = 50;
    char *text = answers(ctx, m); /* 50 - 60 each, and 2 for a trial */
    has(text, "Together 25 a seed: buyers -11, sellers +30, the broker +6, by");
    has(text, "sellers have more than buyers (buyers less sellers, 95 %: -54 to -28).");
    whet_free_text(ctx, text);
    m->trials[0].outcome = m->trials[2].outcome = WHET_TRADE_REFUSED;
    text = answers(ctx, m);
    has(text,
        "Nothing was sold, so there is none; trials that led to nothing cost buyers 6 a seed.\n");
    whet_free_text(ctx, text);
    free(m);
    test_ctx_done(ctx);
}

static void test_bad_folders(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    made *m = make_market();
    test_fails(ctx, whet_trading_report(ctx, &m->r, test_tmp("nowhere")), WHET_ERR_IO);
    free(report(ctx, m, true, true));
    (void)test_write_text("gains.svg", "mine");
    test_fails(ctx, whet_trading_report(ctx, &m->r, folder()), WHET_ERR_EXISTS);
    char *text = read_text("gains.svg");
    assert_string_equal(text, "mine");
    free(text);
    remove_files();
    free(m);
    test_ctx_done(ctx);
}

static whet_status write_all(whet_ctx *ctx, void *arg) {
    const made *m = arg;
    char *text = NULL;
    remove_files();
    whet_status status = whet_trading_report(ctx, &m->r, folder());
    if (status == WHET_OK) status = whet_trading_answers(ctx, &m->r, &text);
    whet_free_text(ctx, text);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    made *m = make_market();
    assert_true(test_each_allocation(write_all, m) > 30);
    remove_files();
    free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimates),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_competitors),
        cmocka_unit_test(test_one_seed_tells_nothing),
        cmocka_unit_test(test_reference_is_cautioned),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_series),
        cmocka_unit_test(test_many_epochs),
        cmocka_unit_test(test_convergence_points),
        cmocka_unit_test(test_odd_results),
        cmocka_unit_test(test_surplus_below_zero),
        cmocka_unit_test(test_bad_folders),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
