/* SPDX-License-Identifier: Apache-2.0
 * A simulated market as files (docs/formats/trading.md): results.json in few numbers, and tables of all rows.
 * Cells of what was not measured are empty. And the whole job: configuration in, a folder out. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "market/trading_i.h"
#include "market/trading_report.h"

/* ---- results.json ---------------------------------------------------------------------------- */

static void append(json_t *array, json_t *value) {
    if (json_array_append_new(array, value) != 0) json_array_clear(array);
}

static json_t *gains_json(const whet_trading_result *r) {
    json_t *array = json_array();
    for (int64_t i = 0; i < r->n_gains; i++) {
        const whet_trading_gain *g = &r->gains[i];
        append(array,
               json_pack(
                   "{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "arm", whet_arm_name(g->arm),
                   "agent", g->agent == WHET_MEAN_AGENT ? "mean" : r->agents[g->agent], "seeds",
                   (json_int_t)g->n, "test_accuracy", whet_i_json_number(g->test_accuracy),
                   "test_loss", whet_i_json_number(g->test_loss), "accuracy_gain",
                   whet_i_json_number(g->accuracy), "accuracy_gain_half",
                   whet_i_json_number(g->accuracy_half), "loss_change", whet_i_json_number(g->loss),
                   "loss_change_half", whet_i_json_number(g->loss_half)));
    }
    return array;
}

static json_t *surplus_json(const whet_trading_result *r) {
    json_t *array = json_array();
    for (int64_t i = 0; i < r->n_surplus; i++) {
        const whet_trading_surplus *s = &r->surplus[i];
        append(array, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "arm",
                                whet_arm_name(s->arm), "agent", r->agents[s->agent], "bought",
                                s->bought, "sold", s->sold, "paid", s->paid, "received",
                                s->received, "as_buyer", s->buyer, "as_seller", s->seller));
    }
    return array;
}

/* How trials ended, by arm, over all seeds. */
static json_t *trials_json(const whet_trading_result *r) {
    json_t *all = json_object();
    for (int arm = WHET_ARM_MARKET; arm <= WHET_ARM_NO_ALIGN; arm++) {
        json_t *one = json_object();
        if (r->arms[arm]) (void)json_object_set(all, whet_arm_name((whet_arm)arm), one);
        for (int o = 0; o < WHET_TRADE_OUTCOMES; o++) {
            json_int_t n = 0;
            for (int64_t i = 0; i < r->n_trials; i++)
                n += r->trials[i].arm == (whet_arm)arm &&
                     r->trials[i].outcome == (whet_trade_outcome)o;
            (void)json_object_set_new(one, whet_trade_outcome_name((whet_trade_outcome)o),
                                      json_integer(n));
        }
        json_decref(one);
    }
    return all;
}

static json_t *agents_json(const whet_trading_result *r) {
    json_t *array = json_array();
    for (int64_t i = 0; i < r->n_agents; i++)
        append(array, json_pack("{s:s, s:I}", "name", r->agents[i], "examples",
                                (json_int_t)r->examples[i]));
    return array;
}

static json_t *seeds_json(const whet_trading_result *r) {
    json_t *array = json_array();
    for (int64_t i = 0; i < r->n_seeds; i++) append(array, json_integer((json_int_t)r->seeds[i]));
    return array;
}

static json_t *arms_json(const whet_trading_result *r) {
    json_t *array = json_array();
    for (int arm = 0; arm < WHET_ARMS; arm++)
        if (r->arms[arm]) append(array, json_string(whet_arm_name((whet_arm)arm)));
    return array;
}

whet_status whet_trading_json(whet_ctx *ctx, const whet_trading_result *r, char **out) {
    whet_i_buf buf = {0};
    json_t *json =
        json_pack("{s:s, s:o, s:o, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, "
                  "s:o, s:o, s:o}",
                  "name", r->name, "agents", agents_json(r), "seeds", seeds_json(r), "split_each",
                  r->split_each, "norms_measured", r->norms_measured, "epochs",
                  (json_int_t)r->epochs, "start", (json_int_t)r->start, "frequency",
                  (json_int_t)r->frequency, "classes", (json_int_t)r->classes, "train_examples",
                  (json_int_t)r->n_train, "selection_examples", (json_int_t)r->n_select,
                  "gate_examples", (json_int_t)r->n_gate, "test_examples", (json_int_t)r->n_test,
                  "arms", arms_json(r), "gains", gains_json(r), "trials", trials_json(r), "surplus",
                  surplus_json(r), "broker", r->money ? json_real(r->broker) : json_null());
    const whet_status status = whet_i_json_dump(ctx, json, JSON_INDENT(2), &buf);
    if (json) json_decref(json);
    if (status == WHET_OK)
        *out = buf.data;
    else
        whet_i_buf_free(ctx, &buf);
    return status;
}

/* ---- tables ---------------------------------------------------------------------------------- */

typedef struct table {
    whet_ctx *ctx;
    const whet_trading_result *r;
    whet_i_buf *text;
} table;

#define PUT(...) WHET_TRY(whet_i_buf_printf(t->ctx, t->text, __VA_ARGS__))

static whet_status put_real(const table *t, double x) {
    if (isfinite(x)) PUT("%.9g", x);
    PUT("\t");
    return WHET_OK;
}

static whet_status put_reals(const table *t, const double *x, int n) {
    for (int i = 0; i < n; i++) WHET_TRY(put_real(t, x[i]));
    return WHET_OK;
}

static const char *party(const whet_trading_result *r, int64_t p) {
    return p == WHET_PARTY_BROKER ? "broker" : p == WHET_PARTY_OUTSIDE ? "outside" : r->agents[p];
}

static whet_status accuracy_table(const table *t) {
    PUT("seed\tarm\tagent\tepoch\ttrain_loss\tvalid_loss\tvalid_accuracy\ttest_loss\t"
        "test_accuracy\n");
    for (int64_t i = 0; i < t->r->n_scores; i++) {
        const whet_trading_score *s = &t->r->scores[i];
        PUT("%" PRIu64 "\t%s\t%s\t%" PRId64 "\t%.9g\t%.9g\t%.9g\t%.9g\t%.9g\n",
            t->r->seeds[s->seed], whet_arm_name(s->arm),
            s->agent < 0 ? "bank" : t->r->agents[s->agent], s->epoch, s->train_loss, s->valid_loss,
            s->valid_accuracy, s->test_loss, s->test_accuracy);
    }
    return WHET_OK;
}

static whet_status trade_row(const table *t, const whet_trading_trial *s) {
    static const char *const units[WHET_TRADE_UNITS] = {"no", "yes", "part"};
    const double measured[] = {s->weight,     s->select_before,   s->select_after,   s->gate_before,
                               s->gate_after, s->accuracy_before, s->accuracy_after, s->gain,
                               s->gain_low,   s->gain_most};
    const double money[] = {s->value, s->reservation};
    const bool tried = s->outcome != WHET_TRADE_NOT_TRIED;
    PUT("%" PRIu64 "\t%s\t%" PRId64 "\t%s\t%s\t%" PRId64 "\t%s\t", t->r->seeds[s->seed],
        whet_arm_name(s->arm), s->epoch, t->r->agents[s->buyer], t->r->agents[s->seller], s->round,
        units[s->units]);
    WHET_TRY(put_reals(t, measured, 10));
    PUT("%s\t", !tried ? "" : s->gate ? "yes" : "no");
    WHET_TRY(put_reals(t, money, 2));
    if (s->posted)
        PUT("%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t", s->price, s->buyer_pays, s->seller_gets);
    else
        PUT("\t\t\t");
    PUT("%" PRId64 "\t%s\t%s\n", s->fees, whet_trade_outcome_name(s->outcome),
        s->outcome == WHET_TRADE_BOUGHT ? "yes" : "no");
    return WHET_OK;
}

static whet_status trades_table(const table *t) {
    PUT("seed\tarm\tepoch\tbuyer\tseller\tround\taligned\tweight\tselect_before\tselect_after\t"
        "gate_before\tgate_after\taccuracy_before\taccuracy_after\tgain\tgain_low\tgain_"
        "most\tgate\tvalue\t"
        "reservation\tprice\tbuyer_pays\tseller_gets\tfees\toutcome\tbought\n");
    for (int64_t i = 0; i < t->r->n_trials; i++) WHET_TRY(trade_row(t, &t->r->trials[i]));
    return WHET_OK;
}

static whet_status wallets_table(const table *t) {
    PUT("seed\tarm\tepoch\tagent\tavailable\n");
    for (int64_t i = 0; i < t->r->n_wallets; i++) {
        const whet_trading_wallet *w = &t->r->wallets[i];
        PUT("%" PRIu64 "\t%s\t%" PRId64 "\t%s\t%" PRId64 "\n", t->r->seeds[w->seed],
            whet_arm_name(w->arm), w->epoch, t->r->agents[w->agent], w->available);
    }
    return WHET_OK;
}

static whet_status flows_table(const table *t) {
    PUT("seed\tarm\tepoch\tfrom\tto\tamount\n");
    for (int64_t i = 0; i < t->r->n_flows; i++) {
        const whet_trading_flow *f = &t->r->flows[i];
        PUT("%" PRIu64 "\t%s\t%" PRId64 "\t%s\t%s\t%" PRId64 "\n", t->r->seeds[f->seed],
            whet_arm_name(f->arm), f->epoch, party(t->r, f->from), party(t->r, f->to), f->amount);
    }
    return WHET_OK;
}

static whet_status write_table(whet_ctx *ctx, const whet_trading_result *r, const char *folder,
                               const char *name, whet_status (*make)(const table *t)) {
    whet_i_buf text = {0};
    const table t = {ctx, r, &text};
    whet_status status = make(&t);
    if (status == WHET_OK)
        status = whet_i_write_file(ctx, folder, name, false, text.data, text.len);
    whet_i_buf_free(ctx, &text);
    return status;
}

whet_status whet_trading_write(whet_ctx *ctx, const whet_trading_result *result,
                               const char *folder) {
    char *json = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_trading_json(ctx, result, &json));
    WHET_TRY_DONE(
        whet_i_write_file(ctx, folder, "results.json", false, json, (int64_t)strlen(json)));
    WHET_TRY_DONE(write_table(ctx, result, folder, "accuracy.tsv", accuracy_table));
    if (!result->arms[WHET_ARM_MARKET]) goto done;
    WHET_TRY_DONE(write_table(ctx, result, folder, "trades.tsv", trades_table));
    if (!result->money) goto done;
    WHET_TRY_DONE(write_table(ctx, result, folder, "wallets.tsv", wallets_table));
    WHET_TRY_DONE(write_table(ctx, result, folder, "flows.tsv", flows_table));
done:
    whet_free_text(ctx, json);
    return status;
}

/* ---- the job --------------------------------------------------------------------------------- */

bool whet_i_trading_state_is_idle(const char *folder) {
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool idle = true;
    while (dir && (entry = readdir(dir)) != NULL)
        idle = idle && !whet_i_has_extension(entry->d_name, ".safetensors");
    if (dir) (void)closedir(dir);
    return idle;
}

void whet_i_trading_state_remove(const char *folder) {
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    if (!dir) return;
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, "lock") == 0 ||
            whet_i_has_extension(entry->d_name, ".safetensors"))
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
    (void)rmdir(folder); /* not when a stranger's file is in it */
}

static int64_t compare_times(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec - b.tv_sec : a.tv_nsec - b.tv_nsec;
}

/* Whether nothing in the folder was written behind the output: what a run leaves that is stopped between
 * putting its output in place and clearing up. State of a run that has not come to its end is younger. */
static bool is_older(const char *folder, const char *output) {
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    struct stat results, info;
    int out = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool older = dir && out >= 0 && fstatat(out, "results.json", &results, 0) == 0;
    while (older && (entry = readdir(dir)) != NULL)
        if (whet_i_has_extension(entry->d_name, ".safetensors"))
            older = fstatat(dirfd(dir), entry->d_name, &info, 0) == 0 &&
                    compare_times(info.st_mtim, results.st_mtim) <= 0;
    if (dir) (void)closedir(dir);
    if (out >= 0) (void)close(out);
    return older;
}

/* Of an output that is there, and stays. */
static void remove_left(whet_ctx *ctx, const char *folder, const char *output) {
    char *path;
    if (!is_older(folder, output) || whet_i_join_path(ctx, folder, "lock", &path) != WHET_OK)
        return;
    const int lock = open(path, O_RDWR | O_CLOEXEC);
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0) whet_i_trading_state_remove(folder);
    if (lock >= 0) (void)close(lock);
    whet_i_free(ctx, path);
}

/* Not all runs write all of them. */
static const char *const OWN[] = {"results.json",    "accuracy.tsv", "trades.tsv", "wallets.tsv",
                                  "flows.tsv",       "report.html",  "gains.svg",  "weights.svg",
                                  "convergence.svg", "money.svg",    NULL};

static whet_status publish(whet_ctx *ctx, const whet_trading_result *result, const char *output,
                           bool force) {
    whet_out_dir *dir = NULL;
    WHET_TRY(whet_i_out_dir_open(ctx, output, force, OWN, &dir));
    whet_status status = whet_trading_write(ctx, result, whet_out_dir_path(dir));
    if (status == WHET_OK) status = whet_trading_report(ctx, result, whet_out_dir_path(dir));
    if (status == WHET_OK) return whet_out_dir_commit(ctx, dir);
    whet_out_dir_abort(ctx, dir);
    return status;
}

/* As that seed alone in the configuration, to the bit; of another seed no state is used. */
static void take_seed(whet_ctx *ctx, whet_trading_config *c, uint64_t seed) {
    if (c->has_seeds) {
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: has \"seeds\", which count; the seed %" PRIu64 " given beside does not",
                   c->path, seed);
        return;
    }
    c->seeds[0] = seed;
    c->fingerprint ^= seed; /* 0: the seed of a configuration without any */
}

whet_status whet_trading_files(whet_ctx *ctx, const char *config, const char *data,
                               const uint64_t *seed, const char *output, bool force,
                               whet_trading_result *out) {
    whet_trading_config *c = NULL;
    whet_trading_result r = {0};
    whet_i_buf state = {0};
    int64_t len = (int64_t)strlen(output);
    whet_status status = WHET_OK;
    while (len > 1 && output[len - 1] == '/') len--;
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &state, "%.*s.whet-market", (int)len, output));
    status = whet_i_out_dir_check(ctx, output, force);
    if (status == WHET_ERR_EXISTS) remove_left(ctx, state.data, output);
    if (status != WHET_OK) goto done;
    WHET_TRY_DONE(whet_trading_config_read(ctx, config, data, &c));
    if (seed) take_seed(ctx, c, *seed);
    WHET_TRY_DONE(whet_trading_run(ctx, c, state.data, &r));
    WHET_TRY_DONE(publish(ctx, &r, output, force));
    whet_i_trading_state_remove(state.data);
    *out = r;
    r = (whet_trading_result){0};
done:
    if (status == WHET_ERR_CANCELLED)
        status =
            whet_i_fail_at(ctx, status, "%s: the same command goes on where it stopped", output);
    whet_trading_result_free(ctx, &r);
    whet_i_buf_free(ctx, &state);
    whet_trading_config_destroy(ctx, c);
    return status;
}
