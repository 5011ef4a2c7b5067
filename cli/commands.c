/* SPDX-License-Identifier: Apache-2.0
 * The one table of commands: dispatch, help and suggestions are made from it.
 *
 * To add a command `whet NAME`:
 *   1. write cli/cmd_NAME.c: the option rows `const cli_option cmd_NAME_options[]`, ending with
 *      {0}, and `whet_status cmd_NAME(cli_run *run)`. Take values with cli_text, cli_integer,
 *      cli_flag, ...; call the library with run->ctx, and return its status as it comes (its
 *      sentence is printed for you); print with cli_print; give cli_json a document. --threads,
 *      --seed (run->seed), --json, --quiet, --force (run->force), --kernels, --help are there.
 *      Progress, Ctrl-C, exit codes, --json on or off, a full disk behind stdout: done for you.
 *   2. declare both at the end of cli.h, add the file to cli/meson.build, and a row below;
 *   3. add its cases to tests/cli/.
 * cmd_version.c is a small example. */
#include "cli.h"

const cli_command cli_commands[] = {
    {.name = "adapt",
     .run = cmd_adapt,
     .options = cmd_adapt_options,
     .summary = "texts and about 100 labels in; predictions, a classifier and a report out",
     .help = "Embeds the texts with a pretrained encoder, fits several classifiers to the labels\n"
             "and to the shape of the unlabelled rows, compares them by cross-fitting on the\n"
             "labels alone, chooses and calibrates one, and predicts the rows of --test (else all\n"
             "rows of --train). DIR then holds predictions.tsv, pool_predictions.tsv (unlabelled\n"
             "training rows), metrics.json, report.html and classifier/. Test labels only measure.",
     .examples = "whet adapt --train train.tsv --test test.tsv --text text --label label \\\n"
                 "    --budget 100 --model DIR --output out\n"
                 "whet adapt --train pool.csv --labels some.tsv --classes classes.txt \\\n"
                 "    --model DIR --output out\n"
                 "whet adapt --features X.npy --labels some.tsv --output out"},
    {.name = "adapt apply",
     .run = cmd_adapt_apply,
     .options = cmd_adapt_apply_options,
     .summary = "predict new rows with a saved classifier, without training",
     .help = "Features are made as they were when the classifier was: with the same encoder (its\n"
             "weights are checked), by the saved TF-IDF, or given. With --space the class is the\n"
             "Frechet mean, and the table has the columns argmax, cost and ties as well.",
     .examples =
         "whet adapt apply --classifier out/classifier --input new.tsv --text text \\\n"
         "    --output pred.tsv\n"
         "whet adapt apply --classifier out/classifier --input new.tsv --output - | head\n"
         "whet adapt apply --classifier out/classifier --input new.tsv --space tree:t.txt \\\n"
         "    --output pred.tsv"},
    {.name = "align",
     .run = cmd_align,
     .options = cmd_align_options,
     .arguments = "A.safetensors B.safetensors",
     .min_args = 2,
     .max_args = 2,
     .summary =
         "renumber the hidden units of a network to match another's, so that they can be mixed",
     .help =
         "Finds the permutations of B's units (channels, attention heads, stream) under which its\n"
         "weights, or its activations on data, agree most with A's, and writes B so renumbered:\n"
         "the same function, to rounding. --arch is auto, mlp, cnn, lenet, resnet, wrn, bert,\n"
         "roberta, distilbert, llama, or a JSON file that says which axes move together.\n"
         "--barrier measures the loss between A and B, before and after. See docs/guide/align.md.",
     .examples = "whet align a.safetensors b.safetensors --arch mlp --output b2.safetensors\n"
                 "whet align a.safetensors b.safetensors --arch resnet --restarts 20 --barrier \\\n"
                 "    --data test_x.npy --labels test_y.npy --measure train_x.npy \\\n"
                 "    --figure line.svg --output b2.safetensors\n"
                 "whet align bert-a bert-b --barrier --data test.tsv --output bert-b2\n"
                 "whet align llama-a/model.safetensors llama-b/model.safetensors \\\n"
                 "    --output b2.safetensors"},
    {.name = "bench autows",
     .run = cmd_bench_autows,
     .options = cmd_bench_autows_options,
     .summary = "what a hundred labels give: baselines and weak supervision on many sets",
     .help =
         "AutoWS-Bench-101, run again: every method on every feature map of every set that --data\n"
         "has, with several draws of the labels. Each cell is kept in cells.jsonl as it is done:\n"
         "the same command goes on where it was stopped. Nothing is chosen by test rows but what\n"
         "is called hindsight. See docs/guide/bench.md.",
     .examples = "whet bench autows --data data --model all-MiniLM-L6-v2 --output autows\n"
                 "whet bench autows --data data --sets youtube,trec --seeds 3 --output autows"},
    {.name = "bench commonsense",
     .run = cmd_bench_commonsense,
     .options = cmd_bench_commonsense_options,
     .summary = "multiple choice with a language model, as it is and tuned",
     .help =
         "boolq, piqa, social_i_qa, winogrande, ARC and openbookqa: the model as it is, and tuned "
         "on\n"
         "their training questions by each method; its answer is the likeliest choice. Each cell\n"
         "is kept as it is done: the same command goes on where it was stopped.\n"
         "See docs/guide/bench.md.",
     .examples = "whet bench commonsense --data commonsense --model llama --output out\n"
                 "whet bench commonsense --data commonsense --model DIR --dtype bf16 \\\n"
                 "      --methods as-is,more-4x4 --test-rows 200 --output out"},
    {.name = "bench glue",
     .run = cmd_bench_glue,
     .options = cmd_bench_glue_options,
     .summary = "adapters beside each other: every weight, LoRA, DoRA, MoRe",
     .help =
         "Tasks of GLUE, trec and agnews: every method with its learning rate chosen on a part of\n"
         "the training rows, then tested with several seeds. Each run is kept in runs.jsonl as it\n"
         "is done: the same command goes on where it was stopped. See docs/guide/bench.md.",
     .examples = "whet bench glue --data data --model all-MiniLM-L6-v2 --output glue\n"
                 "whet bench glue --data data --model DIR --tasks trec,cola --train-rows 500 \\\n"
                 "      --output glue"},
    {.name = "embed",
     .run = cmd_embed,
     .options = cmd_embed_options,
     .summary = "texts through a pretrained encoder into a .npy",
     .help = "Reads a column of texts and writes one vector a text, in the order of the file:\n"
             "tokens, encoder, pooling, length 1, as the model's folder says. A vector depends\n"
             "on its text alone, bit for bit, whatever the other texts and --threads.",
     .examples = "whet embed --model all-MiniLM-L6-v2 --input train.tsv --output train.npy\n"
                 "whet embed --model DIR --adapter tuned --input t.tsv --output t.npy\n"
                 "whet embed --model DIR --input t.csv --column title --dtype bf16 --output t.npy"},
    {.name = "generate",
     .run = cmd_generate,
     .options = cmd_generate_options,
     .summary = "a language model goes on with a text",
     .help =
         "Reads a prompt, or a column of them, and writes each with what the model makes of it.\n"
         "Without --temperature it always takes the most likely token; with it, draws that depend\n"
         "on --seed. The same tokens at any number of threads. See docs/guide/generate.md.",
     .examples = "whet generate --model DIR --prompt 'Once upon a time' --tokens 50\n"
                 "whet generate --model DIR --input prompts.tsv --temperature 0.8 --top-p 0.9 \\\n"
                 "    --output texts.tsv"},
    {.name = "label analyze",
     .run = cmd_label_analyze,
     .options = cmd_label_analyze_options,
     .summary = "what labelling rules do: coverage, conflicts, accuracy, agreement",
     .help =
         "For each rule: the classes it votes for, the shares of all rows on which it votes, on\n"
         "which others do, too, and on which one of them disagrees; with --truth, how often it\n"
         "is right; and the accuracy that a label model learns without the truth. Then pairs\n"
         "of rules that hang together. --json has the agreement of every two. See\n"
         "docs/guide/label.md.",
     .examples = "whet label analyze --votes V.npy --truth Y.npy\n"
                 "whet label analyze --votes V.npy --explain 17 --report votes.html"},
    {.name = "label apply",
     .run = cmd_label_apply,
     .options = cmd_label_apply_options,
     .summary = "the votes of labelling rules on the rows of a table or of features",
     .help =
         "Rules are keywords, regular expressions and ranges of numbers on columns, and models\n"
         "on features (as whet label generate writes them). A rule that fails on a row counts\n"
         "a fault and abstains there. Prints each rule's coverage and faults. Tables are read\n"
         "part by part. See docs/guide/label-rules.md.",
     .examples =
         "whet label apply --rules rules.json --input texts.tsv --votes V.npy\n"
         "whet label apply --rules made.json --input X.npy --votes V.npy\n"
         "whet label apply --rules new.json --input texts.tsv --previous-rules rules.json \\\n"
         "    --previous-votes V.npy --votes V2.npy"},
    {.name = "label baseline",
     .run = cmd_label_baseline,
     .options = cmd_label_baseline_options,
     .summary = "labels of all rows from labels of some, by one of seven baselines",
     .help = "Reads features and the labels of some rows, and writes the probability of every\n"
             "class for every row. The settings of a method are chosen by cross-fitting on the\n"
             "labels. Prints which column is which class. See docs/guide/label.md.",
     .examples =
         "whet label baseline --features X.npy --labels L.tsv --method few-shot --probs P.npy"},
    {.name = "label count",
     .run = cmd_label_count,
     .options = cmd_label_count_options,
     .summary = "how often any two votes meet, of shards of votes that are never held together",
     .help =
         "Counts votes and adds counts made before: exact integers, in any order, from which\n"
         "whet label fit --counts fits majority, weighted, snorkel and flyingsquid as from all\n"
         "rows at once. Arrays are read block by block, so that memory does not grow with\n"
         "rows. See docs/guide/label.md.",
     .examples = "whet label count --votes monday.npy --class-count 3 --counts monday.npz\n"
                 "whet label count --votes tuesday.npy --add monday.npz --counts week.npz\n"
                 "whet label fit --counts week.npz --model snorkel --save-model model.json"},
    {.name = "label features",
     .run = cmd_label_features,
     .options = cmd_label_features_options,
     .summary = "features: TF-IDF of texts, principal components, images by networks",
     .help =
         "tfidf: words, pairs of words and pieces of words, weighed and projected on their\n"
         "main directions, rows of unit length. pca: rows less their mean, in the directions\n"
         "of most variance. vae: of images, the posterior's mean of an autoencoder trained on\n"
         "them, 128 columns. resnet: of images, what the last layer of a pretrained ResNet\n"
         "reads, 64 columns; do not use one on data whose labels it was trained on. All that\n"
         "is fitted is fitted on --input; --test is only transformed. --save-map keeps what is\n"
         "fitted, --map puts later rows through it. See docs/guide/label.md.",
     .examples = "whet label features --method tfidf --input train.tsv --output X.npy \\\n"
                 "    --test test.tsv --test-output X_test.npy\n"
                 "whet label features --method pca --input X.npy --dim 50 --output Y.npy\n"
                 "whet label features --method vae --input images.npy --output Y.npy \\\n"
                 "    --save-map vae.safetensors\n"
                 "whet label features --map vae.safetensors --input tomorrow.npy --output T.npy\n"
                 "whet label features --method resnet --weights resnet20.safetensors \\\n"
                 "    --input images.npy --output Y.npy"},
    {.name = "label fit",
     .run = cmd_label_fit,
     .options = cmd_label_fit_options,
     .summary = "votes of labelling rules to probabilities, by a label model",
     .help =
         "Reads votes, -1 = abstain, as an array or as triples, fits a label model to their\n"
         "agreements, and writes the probability of every class for every row. Labels of some\n"
         "rows give the balance of the classes, keep their rows at their class (EM models), and\n"
         "judge all models by cross-fitting; --model auto takes the best. With fewer than three\n"
         "voting rules, what learns from agreement falls back to weighted votes and says so.\n"
         "See docs/guide/label.md.",
     .examples = "whet label fit --votes V.npy --model snorkel --balance 0.7,0.3 --probs P.npy\n"
                 "whet label fit --votes V.tsv --labels L.tsv --model auto --probs P.npy \\\n"
                 "    --predictions labels.tsv --save-model model.json"},
    {.name = "label generate",
     .run = cmd_label_generate,
     .options = cmd_label_generate_options,
     .summary = "labelling rules from features and a few labels, and their votes on all rows",
     .help =
         "Makes rules on features (stumps, trees, logistic regressions, nearest neighbours) from\n"
         "the labels of some rows, and writes their votes on every row; --save keeps the rules\n"
         "for whet label apply. snuba: rules that add most to the others on labels they had\n"
         "not seen, then more for the rows that stay unclear. iws: rules called useful by the\n"
         "labels, or by you (--ask), and those like them. similarity: a rule a class, by cosine\n"
         "to its own vector, also without labels. See docs/guide/label-rules.md.",
     .examples =
         "whet label generate --features X.npy --labels L.tsv --method snuba \\\n"
         "    --votes V.npy --save rules.json\n"
         "whet label generate --features X.npy --labels L.tsv --method snuba --reference \\\n"
         "    --votes V.npy\n"
         "whet label generate --features X.npy --classes names.txt --method similarity \\\n"
         "    --class-features C.npy --votes V.npy --save rules.json"},
    {.name = "label predict",
     .run = cmd_label_predict,
     .options = cmd_label_predict_options,
     .summary = "votes of labelling rules to probabilities, by a label model that was saved",
     .help = "Applies a model of whet label fit --save-model to votes of the same rules, block by\n"
             "block, so that memory does not grow with rows. On the votes it was fitted to, the\n"
             "same bits. See docs/guide/label.md.",
     .examples = "whet label predict --model-file model.json --votes new.npy --probs P.npy"},
    {.name = "locus",
     .run = cmd_locus,
     .options = cmd_locus_options,
     .summary = "which classes of a label space can be predicted, and which to label next",
     .help =
         "What the Frechet mean can reach from the observed classes over all probabilities:\n"
         "alone, by the rule that of tied classes the lowest wins, in ties, or never, and why.\n"
         "Exact on trees; elsewhere by an envelope or a hull of costs, or by linear programmes\n"
         "whose answers are checked. --next: the classes to label next, on trees the optimal\n"
         "sequence. See docs/guide/label-spaces.md.",
     .examples =
         "whet locus --space tree:taxonomy.tsv --observed labelled.txt --candidates leaves\n"
         "whet locus --space tree:taxonomy.tsv --observed labelled.txt --next 20 --output l.tsv\n"
         "whet locus --space grid:10x10 --cover"},
    {.name = "market price",
     .run = cmd_market_price,
     .options = cmd_market_price_options,
     .summary = "what to ask or pay for weights that improve a model",
     .help =
         "The buyer's value of the gain, the seller's reservation, and a price between them: "
         "posted\n"
         "against a belief (also one that learns from prices taken and refused), by auction, or\n"
         "by bargaining when both know. Amounts are whole minor units, prices rounded down; fees\n"
         "conserve money. A gain measured by losses before and after must pass a test first.\n"
         "Exit code 1: no trade. See docs/guide/market.md.",
     .examples =
         "whet market price --belief uniform:0:10000 --reservation 3000\n"
         "whet market price --belief samples:values.tsv --history offers.tsv --reservation 200\n"
         "whet market price --mechanism second-price --bids bids.tsv --reserve 5000\n"
         "whet market price --mechanism nash --valuation linear:200000 --before b.npy \\\n"
         "    --after a.npy --training-cost 90000 --amortisation 0.05\n"
         "whet market price --mechanism double-auction --bid 800 --ask 500"},
    {.name = "market simulate",
     .run = cmd_market_simulate,
     .options = cmd_market_simulate_options,
     .summary = "agents that train, and buy weights of each other; against doing without",
     .help =
         "Agents with data of their own train a network each, period by period; a broker tries\n"
         "what the weights of each are worth to the others, by examples that nobody trains on;\n"
         "what passes its gate is priced, paid and mixed in. Beside it: nobody trades (silo),\n"
         "all weights averaged (fedavg), one model of all data (bank). Test examples only\n"
         "report. What was stopped goes on when the same command is given again. --seed is\n"
         "for configurations without \"seeds\". See docs/guide/market.md and\n"
         "docs/formats/trading.md.",
     .examples = "whet market simulate --config mnist_two_agents.json --data mnist --output out\n"
                 "whet market simulate --config c.json --output out --threads 2 --json"},
    {.name = "market trial",
     .run = cmd_market_trial,
     .options = cmd_market_trial_options,
     .arguments = "BUYER.safetensors SELLER.safetensors",
     .min_args = 2,
     .max_args = 2,
     .summary = "what a seller's weights are worth to a buyer, measured",
     .help =
         "Mixes the two networks in many proportions, chooses by the loss on --data, and judges\n"
         "the choice by a paired test on --gate-data, which must be other examples. --align\n"
         "weights renumbers the seller's units first; --goods trades some tensors alone.\n"
         "Networks: those that whet align --barrier runs (mlp, lenet, resnet, wrn, or as a\n"
         "specification says).\n"
         "Exit code 1: no gain, or none beyond luck. See docs/guide/market.md.",
     .examples =
         "whet market trial buyer.safetensors seller.safetensors --arch mlp \\\n"
         "    --data x.npy --labels y.npy --gate-data gx.npy --gate-labels gy.npy \\\n"
         "    --align weights --search refined --output mixture.safetensors\n"
         "whet market trial a.safetensors b.safetensors --data x.npy --labels y.npy --json"},
    {.name = "merge",
     .run = cmd_merge,
     .options = cmd_merge_options,
     .summary = "several models into one: means, spheres, task vectors, recipes",
     .help =
         "Merges models of one architecture, tensor by tensor and block by block, so that memory\n"
         "does not grow with them. A model is a .safetensors file or a Hugging Face folder, and\n"
         "may be MODEL+ADAPTER. All that does not fit is told before any work; a merge that was\n"
         "killed goes on when the same command is given again. See docs/guide/merge.md.",
     .examples = "whet merge --method linear --weights 0.7,0.3 A B --output C.safetensors\n"
                 "whet merge --method ties --density 0.2 --base BASE A B --output merged\n"
                 "whet merge --recipe recipe.yml --output merged --dry-run\n"
                 "whet merge --methods",
     .arguments = "MODEL...",
     .min_args = 0,
     .max_args = 64},
    {.name = "predict",
     .run = cmd_predict,
     .options = cmd_predict_options,
     .summary = "classes over a label space by the Frechet mean, also never-observed ones",
     .help =
         "For each row of probabilities over observed classes, predicts the point of the label\n"
         "space with the least expected squared distance: sum p(k) d(y, k)^2. Points need not\n"
         "have been observed. Classes are matched to the space by name.\n"
         "Writes a table with the columns row, class, cost, ties, margin; with --top, also\n"
         "class_2, cost_2 and so on. See docs/guide/predict.md.",
     .examples =
         "whet predict --probs P.npy --classes observed.txt --space tree:wordnet.txt --output "
         "pred.tsv\n"
         "whet predict --probs P.npy --classes observed.txt --space "
         "embedding:names.npy,names=all.txt \\\n"
         "             --calibrate dev.tsv --truth test.tsv --output pred.tsv"},
    {.name = "tune",
     .run = cmd_tune,
     .options = cmd_tune_options,
     .summary = "train an encoder, or adapters of it, on labelled texts",
     .help =
         "Trains a pretrained encoder with a classification or regression head: every weight, or\n"
         "adapters alone. DIR then holds the tuned model as a Hugging Face folder (or the\n"
         "adapters as PEFT reads them), metrics.jsonl, learning-curve.svg and training.json.\n"
         "Memory is planned, and refused, before the first step. Ctrl-C keeps a checkpoint;\n"
         "--resume goes on from it to the same bits. --search tries adapters, ranks, layers and\n"
         "rates on rows held out of the training table, then trains the best. See\n"
         "docs/guide/tune.md.",
     .examples = "whet tune --model DIR --train train.tsv --valid dev.tsv --output tuned\n"
                 "whet tune --model DIR --train t.tsv --valid d.tsv --text sentence1 \\\n"
                 "    --second sentence2 --adapter lora --lr 1e-3 --output tuned\n"
                 "whet tune --model DIR --train t.tsv --output tuned --resume\n"
                 "whet tune --model DIR --train t.tsv --search 10m,params=100k --output tuned"},
    {.name = "tune combine",
     .run = cmd_tune_combine,
     .options = cmd_tune_combine_options,
     .summary = "several adapters added up by weights, as one",
     .help =
         "Writes the sum of weight x adapter as one adapter of the sum of ranks, exactly: MoRe of\n"
         "the same blocks stays MoRe, everything else becomes LoRA. With --rank the nearest of\n"
         "that rank, and what is lost is told. Heads come from one adapter.",
     .examples = "whet tune combine --adapter a=0.5 --adapter b=0.5 --output sum\n"
                 "whet tune combine --adapter a --adapter b=-1 --rank 8 --to lora --output d"},
    {.name = "tune export",
     .run = cmd_tune_export,
     .options = cmd_tune_export_options,
     .summary = "adapters in another form: MoRe as LoRA, exactly; LoRA as MoRe",
     .help = "Writes a folder of adapters as LoRA that PEFT and servers of LoRA read, or as MoRe.\n"
             "Without --rank nothing is lost: MoRe of N blocks and rank r is LoRA of rank N r. At\n"
             "a smaller rank each layer's nearest is taken, and what is lost is told. Heads and\n"
             "biases come along. See docs/guide/adapters.md.",
     .examples = "whet tune export --adapter tuned --to lora --output lora\n"
                 "whet tune export --adapter lora --to more --blocks 4 --rank 8 --output more"},
    {.name = "tune inspect",
     .run = cmd_tune_inspect,
     .options = cmd_tune_inspect_options,
     .summary = "what is in a folder of adapters",
     .help = "Prints the kind, the layers with their ranks, heads, and the base.",
     .examples = "whet tune inspect tuned\nwhet tune inspect tuned --json",
     .arguments = "DIR",
     .min_args = 1,
     .max_args = 1},
    {.name = "tune merge",
     .run = cmd_tune_merge,
     .options = cmd_tune_merge_options,
     .summary = "adapters into their model: a folder by itself",
     .help =
         "Writes the base with the adapters' changes in its weights: summed in f64, rounded once,\n"
         "file by file. Heads come along. A base that is not the adapters' is refused. Merged and\n"
         "unmerged model are compared, layer by layer and on texts; merge.json keeps what came\n"
         "out. See docs/guide/adapters.md.",
     .examples = "whet tune merge --model DIR --adapter tuned --output merged\n"
                 "whet tune merge --model DIR --adapter a=0.7 --adapter b=0.3 --dtype bf16 \\\n"
                 "    --output merged"},
    {.name = "tune project",
     .run = cmd_tune_project,
     .options = cmd_tune_project_options,
     .summary = "what full tuning changed, or an adapter, as MoRe or LoRA of few numbers",
     .help =
         "Takes the change of every linear layer (--tuned minus --model, or that of --adapter), "
         "and\n"
         "writes the nearest adapters: of one --rank, or with ranks by layer under a --budget,\n"
         "where the singular values of all layers are pooled. Tells the residual of each layer "
         "and\n"
         "of all, and what changed elsewhere. Heads come along whole.",
     .examples = "whet tune project --model DIR --tuned full --budget 300000 --output more\n"
                 "whet tune project --model DIR --tuned full --to lora --rank 8 --output lora"},
    {.name = "version",
     .run = cmd_version,
     .options = cmd_version_options,
     .light = true,
     .summary = "versions, kernel set in use, libraries",
     .help = "Prints the version of whet, the CPU kernels and threads it uses here, and the\n"
             "versions of the libraries it runs on.",
     .examples = "whet version\nwhet version --json"},
    {0},
};
