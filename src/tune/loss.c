/* SPDX-License-Identifier: Apache-2.0
 * The losses of whet tune, one row each: what they read, what they train and how it is validated.
 * Adding one is a row here and its recording below. */
#include "tune/tune_i.h"

#define METRIC(name) (1U << WHET_TUNE_METRIC_##name)
#define OF_CLASSES (METRIC(ACCURACY) | METRIC(F1) | METRIC(MCC))
#define OF_NUMBERS (METRIC(PEARSON) | METRIC(SPEARMAN) | METRIC(LOSS))

static const whet_i_tune_kind kinds[] = {
    {.loss = WHET_TUNE_CROSS_ENTROPY,
     .name = "cross-entropy",
     .targets = WHET_I_TARGET_CLASSES,
     .metrics = OF_CLASSES | METRIC(LOSS) | METRIC(DISTANCE),
     .metric_names = "accuracy, f1, mcc or loss of classification, or distance in a space"},
    {.loss = WHET_TUNE_MSE,
     .name = "mse",
     .targets = WHET_I_TARGET_NUMBERS,
     .metrics = OF_NUMBERS,
     .metric_names = "pearson, spearman or loss of regression"},
    {.loss = WHET_TUNE_EXPECTED_COST,
     .name = "expected-cost",
     .targets = WHET_I_TARGET_CLASSES,
     .temperature = 1,
     .metrics = OF_CLASSES | METRIC(LOSS) | METRIC(DISTANCE),
     .metric_names = "accuracy, f1, mcc, loss or distance of classification"},
    {.loss = WHET_TUNE_FRECHET,
     .name = "frechet",
     .targets = WHET_I_TARGET_CLASSES,
     .temperature = -1,
     .metrics = OF_CLASSES | METRIC(LOSS) | METRIC(DISTANCE),
     .metric_names = "accuracy, f1, mcc, loss or distance of classification"},
    {.loss = WHET_TUNE_CONTRASTIVE,
     .name = "contrastive",
     .targets = WHET_I_TARGET_CLASSES,
     .embeds = true,
     .compares = true,
     .metrics = OF_CLASSES,
     .metric_names = "accuracy, f1 or mcc of the nearest prototype"},
    {.loss = WHET_TUNE_SUPERVISED,
     .name = "supervised-contrastive",
     .targets = WHET_I_TARGET_CLASSES,
     .embeds = true,
     .compares = true,
     .temperature = 0.1,
     .metrics = OF_CLASSES,
     .metric_names = "accuracy, f1 or mcc of the nearest prototype"},
    {.loss = WHET_TUNE_COSINE_MSE,
     .name = "cosine-mse",
     .targets = WHET_I_TARGET_NUMBERS,
     .embeds = true,
     .two_texts = true,
     .metrics = OF_NUMBERS,
     .metric_names = "pearson, spearman or loss of cosines"},
    {.loss = WHET_TUNE_CAUSAL,
     .name = "causal",
     .targets = WHET_I_TARGET_TOKENS,
     .metrics = METRIC(LOSS),
     .metric_names = "loss of language models"},
    {.loss = WHET_TUNE_IN_BATCH,
     .name = "in-batch",
     .targets = WHET_I_TARGET_NONE,
     .embeds = true,
     .two_texts = true,
     .compares = true,
     .temperature = 0.05,
     .metrics = METRIC(ACCURACY) | METRIC(MRR),
     .metric_names = "accuracy or mrr of partners"},
};

const whet_i_tune_kind *whet_i_tune_kind_of(whet_tune_loss loss) {
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++)
        if (kinds[i].loss == loss) return &kinds[i];
    return NULL;
}

double whet_i_tune_temperature(const whet_i_tune *run) {
    if (run->job.temperature > 0) return run->job.temperature;
    return run->kind->temperature < 0 ? run->mean_cost : run->kind->temperature;
}

/* ---- what fits together ----------------------------------------------------------------------- */

static whet_status check_texts(whet_ctx *ctx, const whet_tune_job *j, const whet_i_tune_kind *k) {
    if (k->two_texts && !j->second)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "loss %s compares the two texts of a row; expected a column of second "
                           "texts as well",
                           k->name);
    if (k->embeds && !k->two_texts && j->second)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "loss %s embeds single texts; expected no column of second texts",
                           k->name);
    return WHET_OK;
}

static whet_status check_task(whet_ctx *ctx, const whet_tune_job *j, const whet_i_tune_kind *k) {
    static const whet_tune_task tasks[] = {[WHET_I_TARGET_CLASSES] = WHET_TUNE_CLASSIFY,
                                           [WHET_I_TARGET_NUMBERS] = WHET_TUNE_REGRESS,
                                           [WHET_I_TARGET_TOKENS] = WHET_TUNE_LANGUAGE,
                                           [WHET_I_TARGET_NONE] = WHET_TUNE_AUTO};
    const whet_tune_task own = tasks[k->targets];
    if (j->task != WHET_TUNE_AUTO && j->task != own)
        return whet_i_fail(ctx, WHET_ERR_ARG, "loss %s is of %s; expected that task, or auto",
                           k->name,
                           own == WHET_TUNE_CLASSIFY   ? "classification"
                           : own == WHET_TUNE_REGRESS  ? "regression"
                           : own == WHET_TUNE_LANGUAGE ? "language modelling"
                                                       : "texts without labels");
    if (j->classes && own != WHET_TUNE_CLASSIFY)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "a class list is given, and loss %s has no classes; expected one of them", k->name);
    return WHET_OK;
}

static whet_status check_space(whet_ctx *ctx, const whet_tune_job *j) {
    const bool cost = j->loss == WHET_TUNE_EXPECTED_COST || j->loss == WHET_TUNE_FRECHET;
    const bool distance = j->metric == WHET_TUNE_METRIC_DISTANCE;
    if (j->space && !cost && !distance)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a space is given that nothing reads; expected loss expected-cost or "
                           "frechet, or metric distance");
    if (!j->space && (cost || distance))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s needs distances between classes; expected a space as well",
                           j->loss == WHET_TUNE_FRECHET ? "loss frechet"
                           : cost                       ? "loss expected-cost"
                                                        : "metric distance");
    return WHET_OK;
}

static whet_status check_probs(whet_ctx *ctx, const whet_tune_job *j, const whet_i_tune_kind *k) {
    if (!j->probs && (j->row_weights != WHET_TUNE_WEIGHTS_EVEN || j->label_weight != 1))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "weights of rows and labels are given without probabilities of the "
                           "classes; expected those as well");
    if (j->row_weights < WHET_TUNE_WEIGHTS_EVEN || j->row_weights > WHET_TUNE_WEIGHTS_CONFIDENCE)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "row weights are number %d; expected even ones, or "
                           "by confidence",
                           (int)j->row_weights);
    if (!j->probs) return WHET_OK;
    if ((k && k->loss != WHET_TUNE_CROSS_ENTROPY) || j->target ||
        (j->task != WHET_TUNE_AUTO && j->task != WHET_TUNE_CLASSIFY))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "probabilities of classes are given for another task or loss; expected "
                           "classification by cross-entropy");
    return WHET_OK;
}

whet_status whet_i_tune_check_loss(whet_ctx *ctx, const whet_tune_job *j) {
    const whet_i_tune_kind *k = whet_i_tune_kind_of(j->loss);
    if (j->loss != WHET_TUNE_LOSS_AUTO && !k)
        return whet_i_fail(ctx, WHET_ERR_ARG, "loss is number %d; expected one that there is",
                           (int)j->loss);
    WHET_TRY(check_space(ctx, j));
    WHET_TRY(check_probs(ctx, j, k));
    if (j->temperature != 0 && !(j->temperature > 0 && j->temperature <= 1e6))
        return whet_i_fail(ctx, WHET_ERR_ARG, "the temperature is %g; expected above 0, to 1e6",
                           j->temperature);
    if (j->temperature != 0 && (!k || k->temperature == 0))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "a temperature is given; expected loss supervised-contrastive, in-batch, "
            "expected-cost or frechet with it");
    if (j->smoothing > 0 && k && k->loss != WHET_TUNE_CROSS_ENTROPY)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "label smoothing with loss %s; expected cross-entropy", k->name);
    if (!k) return WHET_OK;
    WHET_TRY(check_texts(ctx, j, k));
    return check_task(ctx, j, k);
}

/* What the model cannot do. */
whet_status whet_i_tune_check_backbone(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    const whet_i_tune_kind *k = whet_i_tune_kind_of(j->loss);
    const bool language = j->target || j->task == WHET_TUNE_LANGUAGE || j->loss == WHET_TUNE_CAUSAL;
    if (language && k && k->loss != WHET_TUNE_CAUSAL)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "loss %s with texts to go on with; expected loss causal", k->name);
    if (language && !run->backbone.causal)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "next tokens are learned by language models (%s), and the model is %s; "
                           "expected such a folder, or labels",
                           whet_i_llama_family_known(), run->backbone.model_type);
    if (!run->backbone.causal) return WHET_OK;
    if (k && k->embeds)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "loss %s trains the embeddings of an encoder, and the model is %s; "
                           "expected an encoder, or another loss",
                           k->name, run->backbone.model_type);
    if (j->head == WHET_TUNE_HEAD_POOLED)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a head on the pooled embedding is an encoder's, and the model is %s; "
                           "expected the family's head",
                           run->backbone.model_type);
    return WHET_OK;
}

/* What was asked for before it was known what the labels are. */
static whet_status check_use(whet_ctx *ctx, const whet_i_tune *run) {
    if (run->job.smoothing > 0 && run->kind->loss != WHET_TUNE_CROSS_ENTROPY)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "label smoothing with loss %s; expected cross-entropy, of classes",
                           run->kind->name);
    if (run->job.new_head && !whet_i_tune_has_head(run))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "a new head with loss %s, which trains none; expected a loss with a head",
            run->kind->name);
    return WHET_OK;
}

/* Correlations with a constant are no numbers: no step would be better than another. */
static bool is_constant(const whet_i_tune_rows *rows) {
    for (int64_t i = 1; i < rows->n; i++)
        if (rows->targets[i] < rows->targets[0] || rows->targets[i] > rows->targets[0])
            return false;
    return rows->n > 0;
}

static whet_status choose_for_numbers(whet_ctx *ctx, whet_i_tune *run) {
    const bool constant = is_constant(&run->valid), chosen = run->metric != WHET_TUNE_METRIC_AUTO;
    if (!chosen) run->metric = constant ? WHET_TUNE_METRIC_LOSS : WHET_TUNE_METRIC_PEARSON;
    if (!constant) return WHET_OK;
    const double number = (double)run->valid.targets[0] * run->target_scale;
    if (chosen && run->metric != WHET_TUNE_METRIC_LOSS)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: all numbers are %g, with which no correlation is defined; expected "
                           "several, or metric loss",
                           run->valid.path, number);
    if (!chosen)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: all numbers are %g, with which no correlation is defined; the best step is "
                   "that of the lowest loss",
                   run->valid.path, number);
    return WHET_OK;
}

whet_status whet_i_tune_choose_metric(whet_ctx *ctx, whet_i_tune *run) {
    run->metric = run->job.metric;
    WHET_TRY(check_use(ctx, run));
    if (run->regression) WHET_TRY(choose_for_numbers(ctx, run));
    if (run->metric == WHET_TUNE_METRIC_AUTO)
        run->metric =
            run->kind->loss == WHET_TUNE_CAUSAL ? WHET_TUNE_METRIC_LOSS : WHET_TUNE_METRIC_ACCURACY;
    if (run->kind->metrics >> run->metric & 1) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "metric %s with loss %s; expected %s",
                       whet_i_tune_metric_name(run->metric), run->kind->name,
                       run->kind->metric_names);
}

/* ---- recordings ------------------------------------------------------------------------------- */

/* Embeddings are what a pooled head reads. */
static whet_i_head_kind head_of(const whet_i_tune *run) {
    return run->kind->embeds || run->job.head == WHET_TUNE_HEAD_POOLED ? WHET_I_HEAD_POOLED
                                                                       : WHET_I_HEAD_FAMILY;
}

whet_i_selection whet_i_tune_selection(const whet_i_tune *run) {
    if (run->kind->targets != WHET_I_TARGET_TOKENS)
        return whet_i_backbone_selection(&run->backbone, head_of(run));
    return run->job.target ? WHET_I_ASKED_TOKENS : WHET_I_ALL_TOKENS;
}

static whet_status record_head(whet_ctx *ctx, whet_i_tune *run, whet_i_value hidden) {
    const whet_i_head_kind head = head_of(run);
    whet_i_graph *g = run->graph;
    WHET_TRY(whet_i_backbone_classify(ctx, g, &run->backbone, head, run->k, hidden, &run->logits));
    if (run->train.probs) {
        WHET_TRY(whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, run->k, &run->target_feed));
        return whet_i_soft_cross_entropy(ctx, g, run->logits, run->target_feed, &run->loss);
    }
    WHET_TRY(whet_i_graph_feed(ctx, g, !run->regression, WHET_I_EXAMPLES, 1, &run->target_feed));
    if (run->regression) return whet_i_mse(ctx, g, run->logits, run->target_feed, &run->loss);
    if (run->kind->loss == WHET_TUNE_EXPECTED_COST)
        return whet_i_expected_cost(ctx, g, run->logits, run->target_feed, run->costs,
                                    whet_i_tune_temperature(run), &run->loss);
    if (run->kind->loss == WHET_TUNE_FRECHET)
        return whet_i_frechet_loss(ctx, g, run->logits, run->target_feed, run->costs, run->k,
                                   whet_i_tune_temperature(run), &run->loss);
    return whet_i_cross_entropy(ctx, g, run->logits, run->target_feed, run->job.smoothing,
                                &run->loss);
}

static whet_status record_classes(whet_ctx *ctx, whet_i_tune *run) {
    const whet_i_pairs_spec spec = {.kind = run->kind->loss == WHET_TUNE_CONTRASTIVE
                                                ? WHET_I_PAIR_COSINE
                                                : WHET_I_PAIR_SUPERVISED,
                                    .temperature = whet_i_tune_temperature(run)};
    WHET_TRY(whet_i_graph_feed(ctx, run->graph, true, WHET_I_EXAMPLES, 1, &run->target_feed));
    return whet_i_pairs(ctx, run->graph, &spec, run->logits, run->target_feed, &run->loss);
}

static whet_status record_two_texts(whet_ctx *ctx, whet_i_tune *run) {
    const whet_i_pairs_spec spec = {.kind = WHET_I_PAIR_RANKING,
                                    .temperature = whet_i_tune_temperature(run)};
    whet_i_value first, second;
    WHET_TRY(whet_i_split_pairs(ctx, run->graph, run->logits, &first, &second));
    if (run->kind->loss == WHET_TUNE_IN_BATCH)
        return whet_i_pairs(ctx, run->graph, &spec, first, second, &run->loss);
    WHET_TRY(whet_i_graph_feed(ctx, run->graph, false, WHET_I_PAIRS, 1, &run->target_feed));
    return whet_i_cosine_mse(ctx, run->graph, first, second, run->target_feed, &run->loss);
}

static whet_status record_next_tokens(whet_ctx *ctx, whet_i_tune *run, whet_i_value hidden) {
    run->logits = hidden;
    WHET_TRY(whet_i_graph_feed(ctx, run->graph, true, WHET_I_TOKENS, 1, &run->target_feed));
    return whet_i_backbone_next_token_loss(ctx, run->graph, &run->backbone, hidden,
                                           run->target_feed, &run->loss);
}

whet_status whet_i_tune_record_loss(whet_ctx *ctx, whet_i_tune *run, whet_i_value hidden) {
    run->target_feed = WHET_I_NONE;
    if (run->kind->targets == WHET_I_TARGET_TOKENS) return record_next_tokens(ctx, run, hidden);
    if (!run->kind->embeds) return record_head(ctx, run, hidden);
    /* As whet embed makes them: pooled as the folder says, of unit length. */
    WHET_TRY(whet_i_encoder_pool(ctx, run->graph, &run->backbone.encoder, hidden, &run->logits));
    return run->kind->two_texts ? record_two_texts(ctx, run) : record_classes(ctx, run);
}
