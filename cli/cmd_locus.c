/* SPDX-License-Identifier: Apache-2.0
 * whet locus: which classes can be predicted at all, which to label next, and what covers all. */
#include "cli.h"

enum { SHOWN = 20 };

const cli_option cmd_locus_options[] = {
    {.name = "space",
     .type = CLI_STRING,
     .value = "SPACE",
     .required = true,
     .help = "label space, as whet predict takes it"},
    {.name = "observed",
     .type = CLI_PATH,
     .help = "the observed classes, one a line; without them --next starts from nothing"},
    {.name = "candidates",
     .type = CLI_STRING,
     .value = "WHICH",
     .preset = "all",
     .help = "points that may be predicted: all, observed, leaves, or a file of names"},
    {.name = "next",
     .type = CLI_INT,
     .value = "K",
     .min = 1,
     .max = INT64_MAX,
     .help = "the K classes to label next"},
    {.name = "by",
     .type = CLI_ENUM,
     .choices = "length|nodes",
     .preset = "length",
     .help = "what --next adds most of to the locus of a tree"},
    {.name = "cover", .type = CLI_FLAG, .help = "a set of classes that reaches everything"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "T.tsv",
     .help = "table to write: class, observed, reach, reason, other"},
    {0},
};

static const char *const RULE[] = {"farthest from the locus, optimal for every number",
                                   "farthest from all before, a heuristic"};
static const char *const RULE_NAME[] = {"tree", "farthest-first"};
static const char *const PROOF[] = {
    "the leaves, the least there is", "two opposite corners, the least there is, in ties",
    "all classes, the least there is", "greedy over pairs, not proved least"};
static const char *const PROOF_NAME[] = {"leaves", "corners", "all", "greedy"};

/* ---- one document ---------------------------------------------------------------------------- */

static json_t *name_json(const whet_locus_report *r, int64_t point) {
    const whet_str name = whet_names_get(whet_space_names(r->space), point);
    return json_stringn(name.ptr, (size_t)name.len);
}

static json_t *locus_json(const whet_locus_report *r) {
    if (r->locus.n == 0) return json_null();
    json_t *counts = json_object(), *classes = json_array();
    int64_t reached = 0;
    for (int i = 0; i < WHET_REACHES; i++)
        (void)json_object_set_new(counts, whet_reach_name((whet_reach)i),
                                  json_integer((json_int_t)r->locus.count[i]));
    for (int64_t i = 0; i < r->locus.n; i++) {
        const whet_locus_class *c = &r->locus.classes[i];
        if (c->reach == WHET_REACH_NEVER || c->reach == WHET_REACH_UNDECIDED) continue;
        reached++;
        (void)json_array_append_new(classes, name_json(r, c->point));
    }
    return json_pack("{s:I, s:o, s:I, s:o}", "size", (json_int_t)reached, "counts", counts,
                     "programmes", (json_int_t)r->locus.programmes, "classes", classes);
}

static json_t *next_json(const whet_locus_report *r) {
    if (!r->next) return json_null();
    json_t *list = json_array();
    for (int64_t i = 0; i < r->n_next; i++)
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:o}", "class", name_json(r, r->next[i].point), "gain",
                            cli_json_number(r->next[i].gain), "locus",
                            r->next[i].locus < 0 ? json_null()
                                                 : json_integer((json_int_t)r->next[i].locus)));
    return json_pack("{s:s, s:o}", "rule", RULE_NAME[r->next_rule], "classes", list);
}

static json_t *cover_json(const whet_locus_report *r) {
    if (!r->cover) return json_null();
    json_t *list = json_array();
    for (int64_t i = 0; i < r->n_cover; i++)
        (void)json_array_append_new(list, name_json(r, r->cover[i]));
    return json_pack("{s:I, s:I, s:s, s:o}", "size", (json_int_t)r->n_cover, "least",
                     (json_int_t)r->cover_least, "proof", PROOF_NAME[r->cover_proof], "classes",
                     list);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static const char *name_of(const whet_locus_report *r, int64_t point) {
    return whet_names_get(whet_space_names(r->space), point).ptr;
}

static void print_reach(cli_run *run, const whet_locus_report *r, whet_reach reach,
                        const char *what) {
    if (r->locus.count[reach] || reach == WHET_REACH_NEVER || reach == WHET_REACH_ALONE)
        cli_print(run, "%12lld  %s\n", (long long)r->locus.count[reach], what);
}

static void print_why(cli_run *run, const whet_locus_report *r) {
    static const struct {
        whet_reach_reason reason;
        const char *why;
    } WHY[] = {
        {WHET_REASON_BRANCH,
         "hang off a path between observed classes, whose node is always nearer"},
        {WHET_REASON_FARTHER, "are farther from where they hang off than another candidate"},
        {WHET_REASON_ULTRAMETRIC, "are as deep as all others: no unobserved one can ever win"},
        {WHET_REASON_ENVELOPE, "lie above the lower envelope of the costs"},
        {WHET_REASON_MIXTURE, "are beaten by a mixture of others at every p"},
        {WHET_REASON_TWIN, "are twins of such a one"}};
    for (size_t i = 0; i < sizeof WHY / sizeof WHY[0]; i++) {
        long long count = 0;
        for (int64_t j = 0; j < r->locus.n; j++)
            count += r->locus.classes[j].reach == WHET_REACH_NEVER &&
                     r->locus.classes[j].reason == WHY[i].reason;
        if (count) cli_print(run, "%12lld    %s\n", count, WHY[i].why);
    }
}

/* What is reached without having been observed: the point of the exercise. */
static void print_unobserved(cli_run *run, const whet_locus_report *r) {
    long long count = 0;
    for (int64_t i = 0; i < r->locus.n; i++) {
        const whet_locus_class *c = &r->locus.classes[i];
        if (c->reason == WHET_REASON_OBSERVED || c->reach == WHET_REACH_NEVER ||
            c->reach == WHET_REACH_UNDECIDED)
            continue;
        if (count++ == 0) cli_print(run, "\nreached without having been observed:\n");
        if (count <= SHOWN)
            cli_print(run, "  %s\t%s%s%s\n", name_of(r, c->point), whet_reach_name(c->reach),
                      c->other < 0 ? "" : ", twin of ", c->other < 0 ? "" : name_of(r, c->other));
    }
    if (count > SHOWN) cli_print(run, "  and %lld more; --output FILE has all\n", count - SHOWN);
    if (count == 0) cli_print(run, "\nno class that was not observed can ever be predicted\n");
}

static void print_locus(cli_run *run, const whet_locus_report *r) {
    if (r->locus.n == 0) return;
    cli_print(run, "%lld candidates of %lld points, %lld observed classes\n", (long long)r->locus.n,
              (long long)whet_space_size(r->space), (long long)r->observed);
    print_reach(run, r, WHET_REACH_ALONE, "can be predicted alone (strong)");
    print_reach(run, r, WHET_REACH_PREDICTED, "can be predicted, in ties only (operational)");
    print_reach(run, r, WHET_REACH_TIED, "can tie, but are never predicted (weak)");
    print_reach(run, r, WHET_REACH_UNDECIDED, "are too near a border to tell");
    print_reach(run, r, WHET_REACH_NEVER, "can never be predicted:");
    print_why(run, r);
    print_unobserved(run, r);
}

static void print_next(cli_run *run, const whet_locus_report *r, int64_t asked) {
    if (!r->next) return;
    const bool tree = r->next_rule == WHET_NEXT_TREE;
    cli_print(run, "\nto label next (%s):\n", RULE[r->next_rule]);
    for (int64_t i = 0; i < r->n_next; i++) {
        cli_print(run, "  %s\t%s %.6g", name_of(r, r->next[i].point), tree ? "adds" : "distance",
                  r->next[i].gain);
        if (tree) cli_print(run, "\tlocus %lld", (long long)r->next[i].locus);
        cli_print(run, "\n");
    }
    if (r->n_next < asked)
        cli_print(run, "  that is all: %lld of the %lld that were asked for\n",
                  (long long)r->n_next, (long long)asked);
}

static void print_cover(cli_run *run, const whet_locus_report *r) {
    if (!r->cover) return;
    if (cli_given(run, "candidates"))
        cli_note(run, "--cover is of all points of the space, whatever the candidates");
    cli_print(run, "\n%lld classes reach everything (%s):\n", (long long)r->n_cover,
              PROOF[r->cover_proof]);
    for (int64_t i = 0; i < r->n_cover && i < SHOWN; i++)
        cli_print(run, "  %s\n", name_of(r, r->cover[i]));
    if (r->n_cover > SHOWN)
        cli_print(run, "  and %lld more; --json has all\n", (long long)r->n_cover - SHOWN);
}

whet_status cmd_locus(cli_run *run) {
    whet_locus_job job = WHET_LOCUS_JOB_INIT;
    whet_locus_report r;
    job.space = cli_text(run, "space");
    job.observed = cli_text(run, "observed");
    job.candidates = cli_text(run, "candidates");
    job.output = cli_text(run, "output");
    job.next = cli_integer(run, "next");
    job.by_nodes = cli_choice(run, "by") == 1;
    job.cover = cli_given(run, "cover");
    job.force = run->force;
    if (!job.observed && (job.output || (!job.next && !job.cover)))
        return cli_fail(run, WHET_ERR_ARG,
                        "no --observed; expected it for a locus; without, --next or --cover");
    const whet_status status = whet_locus_run(run->ctx, &job, &r);
    if (status != WHET_OK) return status;
    print_locus(run, &r);
    print_next(run, &r, job.next);
    print_cover(run, &r);
    cli_json(run, json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "points",
                            (json_int_t)whet_space_size(r.space), "observed",
                            (json_int_t)r.observed, "candidates", (json_int_t)r.locus.n, "locus",
                            locus_json(&r), "next", next_json(&r), "cover", cover_json(&r),
                            "output", job.output ? json_string(job.output) : json_null()));
    whet_locus_report_free(run->ctx, &r);
    return WHET_OK;
}
