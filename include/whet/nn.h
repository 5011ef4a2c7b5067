/* SPDX-License-Identifier: Apache-2.0
 * nn: tokenizers and pretrained encoders. */
#ifndef WHET_NN_H
#define WHET_NN_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tokenizer
 * ------------------------------------------------------------------------------------ */

/* A Hugging Face tokenizer.json of WordPiece, BPE (byte-level as of GPT-2, RoBERTa, Llama 3 and
 * Qwen 2, or SentencePiece's as of Llama 2) or Unigram (XLM-RoBERTa, CamemBERT): normaliser,
 * pre-tokeniser, model, post-processor, decoder and added tokens as the file says; anything it cannot
 * honour exactly is WHET_ERR_UNSUPPORTED by name. Read-only: may be shared by threads. */
typedef struct whet_tokenizer whet_tokenizer;

/* dir holds tokenizer.json, read with what stands beside it as transformers does
 * (docs/guide/tokenizer.md), or is the path of such a file, which holds by itself. */
WHET_API WHET_CHECKED whet_status whet_tokenizer_load(whet_ctx *ctx, const char *dir,
                                                      whet_tokenizer **out);
WHET_API void whet_tokenizer_destroy(whet_ctx *ctx, whet_tokenizer *tokenizer);
WHET_API int64_t whet_tokenizer_vocab_size(const whet_tokenizer *tokenizer);
/* The token's text, or {NULL,0} out of range. */
WHET_API whet_str whet_tokenizer_token(const whet_tokenizer *tokenizer, int32_t id);

typedef enum whet_token_role {
    WHET_TOKEN_BOS = 0,
    WHET_TOKEN_EOS = 1,
    WHET_TOKEN_PAD = 2,
    WHET_TOKEN_UNK = 3,
    WHET_TOKEN_CLS = 4,
    WHET_TOKEN_SEP = 5,
    WHET_TOKEN_MASK = 6
} whet_token_role;

/* The token of a role as tokenizer_config.json, special_tokens_map.json or config.json of the folder
 * says, the first of them that does (of several eos ids the first); -1 when none says, or the
 * tokenizer was loaded from a single file. Pure. */
WHET_API int32_t whet_tokenizer_role(const whet_tokenizer *tokenizer, whet_token_role role);

/* Ragged rows of token ids: row i is ids[start[i] .. start[i+1]). */
typedef struct whet_token_rows {
    int64_t n_rows;
    int64_t *start; /* [n_rows + 1] */
    int32_t *ids;   /* [start[n_rows]] */
    uint8_t *types; /* [start[n_rows]] segment of each token; NULL from whet_tokenizer_encode */
} whet_token_rows;

/* Encodes n texts with the special tokens of the post-processor, each cut to max_length tokens in
 * all (0 = no limit). Invalid UTF-8 is replaced by U+FFFD first, as Python's errors="replace" does.
 * In parallel over texts. O(bytes). Owned by the caller: whet_token_rows_destroy. */
WHET_API WHET_CHECKED whet_status whet_tokenizer_encode(whet_ctx *ctx,
                                                        const whet_tokenizer *tokenizer,
                                                        const whet_str *texts, int64_t n,
                                                        int64_t max_length, whet_token_rows *out);

/* Encodes n pairs (first[i], second[i]), or single texts when second is NULL, with the special
 * tokens and the segments that the post-processor gives them: BERT [CLS] a [SEP] b [SEP] of types
 * 0 and 1, RoBERTa <s> a </s></s> b </s> of type 0.
 * max_length  tokens a row, special ones included; 0 = no limit. A longer pair loses tokens from
 *             the ends of its texts as Hugging Face's "longest_first" does.
 * out         rows with types; whet_token_rows_destroy
 * truncated   how many rows lost tokens; may be NULL
 * Errors: WHET_ERR_ARG (a count below 0, max_length below the special tokens), WHET_ERR_UNSUPPORTED
 * (pairs, of a file that says nothing about them), WHET_ERR_LIMIT, WHET_ERR_NOMEM; outputs then
 * unchanged. Invalid UTF-8 as above. O(bytes), in parallel over rows. */
WHET_API WHET_CHECKED whet_status whet_tokenizer_encode_pairs(
    whet_ctx *ctx, const whet_tokenizer *tokenizer, const whet_str *first, const whet_str *second,
    int64_t n, int64_t max_length, whet_token_rows *out, int64_t *truncated);
/* The text of n ids by the file's decoder, as Hugging Face tokenizers decodes (WordPiece's cleanup
 * included; ids out of range are passed over). skip_special leaves special tokens out. Without a
 * decoder tokens are joined by spaces.
 * text  NUL-terminated behind its *len bytes of valid UTF-8 (bytes that are none become U+FFFD);
 *       whet_free_text
 * Errors: WHET_ERR_ARG, WHET_ERR_NOMEM; outputs then unchanged. O(bytes). */
WHET_API WHET_CHECKED whet_status whet_tokenizer_decode(whet_ctx *ctx,
                                                        const whet_tokenizer *tokenizer,
                                                        const int32_t *ids, int64_t n,
                                                        bool skip_special, char **text,
                                                        int64_t *len);
/* The bytes that one token adds to a text behind other tokens, for printing while a model writes:
 * they may be part of a character only. Joined over the ids of a text they are what decoding gives,
 * but for ill-formed UTF-8 and what the decoder takes from the text's begin (Llama's first space).
 * Empty out of range. Released by whet_free_text. Errors: WHET_ERR_NOMEM. */
WHET_API WHET_CHECKED whet_status whet_tokenizer_token_bytes(whet_ctx *ctx,
                                                             const whet_tokenizer *tokenizer,
                                                             int32_t id, char **text, int64_t *len);
WHET_API void whet_token_rows_destroy(whet_ctx *ctx, whet_token_rows *rows);

/* ---- encoder
 * ----------------------------------------------------------------------------------------- */

typedef enum whet_pooling { WHET_POOL_MEAN = 0, WHET_POOL_CLS = 1 } whet_pooling;

typedef struct whet_encoder_opts {
    size_t struct_size;
    whet_dtype dtype;     /* WHET_F32 (default) or WHET_BF16: weights and products; sums stay f32 */
    whet_pooling pooling; /* default: what the folder's 1_Pooling/config.json says, else mean */
    bool pooling_given;   /* true: `pooling` overrides the folder */
    bool no_normalize;    /* false: rows are scaled to unit length */
    int64_t max_length;   /* tokens a text, special ones included; 0 = the folder's limit */
    int64_t batch_tokens; /* tokens worked on at once by a thread; 0 = chosen by the model's size */
    /* Products of f32 to 16 bits, as training has them, on processors with matrix tiles: faster, and
     * embeddings (unit vectors) differ by a few 1e-6. Elsewhere nothing changes. */
    bool coarse;
} whet_encoder_opts;
#define WHET_ENCODER_OPTS_INIT \
    { sizeof(whet_encoder_opts), WHET_F32, WHET_POOL_MEAN, false, false, 0, 0, false }

/* A pretrained text encoder from a Hugging Face folder: config.json, tokenizer.json, and
 * model.safetensors or the files that model.safetensors.index.json names. Read-only after load: may be
 * shared by threads. */
typedef struct whet_encoder whet_encoder;

/* Errors: IO, FORMAT, SHAPE (a tensor's shape is not what config.json says), UNSUPPORTED (model
 * type, activation, position embedding), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_encoder_load(whet_ctx *ctx, const char *dir,
                                                    const whet_encoder_opts *opts,
                                                    whet_encoder **out);
WHET_API void whet_encoder_destroy(whet_ctx *ctx, whet_encoder *encoder);
WHET_API int64_t whet_encoder_dim(const whet_encoder *encoder);
WHET_API const whet_tokenizer *whet_encoder_tokenizer(const whet_encoder *encoder);
/* Hash of the weights and settings that decide an embedding: 16 hex digits, NUL-terminated.
 * A classifier refuses embeddings of another encoder. */
WHET_API const char *whet_encoder_fingerprint(const whet_encoder *encoder);

/* Embeddings [n, dim] of n texts. Row i depends on text i alone (bit for bit, whatever the other
 * texts, their order and the thread count). Reports progress as "embed", can be cancelled.
 * An empty text is embedded as its special tokens. Cost: the products, O(tokens * parameters).
 * Errors: NUMERIC (an embedding that is not finite, with its text), NOMEM, CANCELLED; *out may be written. */
WHET_API WHET_CHECKED whet_status whet_encoder_embed(whet_ctx *ctx, const whet_encoder *encoder,
                                                     const whet_str *texts, int64_t n, float *out);
/* The same; *truncated: how many texts are longer than whet_encoder_max_length tokens, special ones included,
 * and were read to there. */
WHET_API WHET_CHECKED whet_status whet_encoder_embed_counted(whet_ctx *ctx,
                                                             const whet_encoder *encoder,
                                                             const whet_str *texts, int64_t n,
                                                             float *out, int64_t *truncated);
WHET_API int64_t whet_encoder_max_length(const whet_encoder *encoder);

/* ---- language models: texts from texts --------------------------------------------------------- */

/* A Llama-like model (Llama, Mistral, Qwen2) from a Hugging Face folder: config.json, tokenizer.json,
 * and model.safetensors or the files that model.safetensors.index.json names. What ends a text is
 * eos_token_id of generation_config.json where it says, else of config.json. */
typedef struct whet_language_model whet_language_model;

/* dtype of weights and products: WHET_F32 or WHET_BF16. Errors: as whet_encoder_load. */
WHET_API WHET_CHECKED whet_status whet_language_model_load(whet_ctx *ctx, const char *dir,
                                                           whet_dtype dtype,
                                                           whet_language_model **out);
WHET_API void whet_language_model_destroy(whet_ctx *ctx, whet_language_model *model);
WHET_API const whet_tokenizer *whet_language_model_tokenizer(const whet_language_model *model);
/* Tokens of a text at most, prompt and what is made of it together. */
WHET_API int64_t whet_language_model_positions(const whet_language_model *model);

/* log_probs [rows.n_rows] = log p of each row's tokens from asked[i] (1..length) on, given those before them:
 * what choices of a multiple-choice question are compared by. What a row shares with the one before it is
 * read once: put the choices of a question behind each other. One thread at a time uses a model.
 * Cost: the products, O(new tokens * parameters). Progress "score", can be cancelled. Errors: ARG, DATA (an
 * id outside the vocabulary, a row over the model's positions), NUMERIC (logits that are NaN), NOMEM,
 * CANCELLED; log_probs are of no use then. */
WHET_API WHET_CHECKED whet_status whet_language_model_score(whet_ctx *ctx,
                                                            const whet_language_model *model,
                                                            const whet_token_rows *rows,
                                                            const int64_t *asked,
                                                            double *log_probs);

typedef struct whet_generate_opts {
    size_t struct_size;
    int64_t max_tokens; /* new tokens a prompt at most, 1..2^24 */
    double temperature; /* 0 = always the most likely token (the lowest id of equals) */
    int64_t top_k;      /* only the so many most likely; 0 = all */
    double top_p;       /* only the fewest whose share reaches this, above 0 to 1 */
    uint64_t seed;      /* of draws: prompt i has its own stream */
    bool no_stop;       /* go on behind the tokens that end a text */
    /* Called with each token as it is made, prompt after prompt of a group; NULL = not. */
    void (*token)(void *user, int64_t prompt, int32_t id);
    void *user;
} whet_generate_opts;
#define WHET_GENERATE_OPTS_INIT \
    { sizeof(whet_generate_opts), 128, 0, 0, 1, 0, false, NULL, NULL }

/* Continues each prompt (rows of token ids; an empty one begins with the model's first token): out
 * gets the new tokens, without what ends a text; whet_token_rows_destroy. A prompt's tokens do
 * not depend on the other prompts but for rounding, nor on the threads at all. A token costs the
 * model's products and one pass over its keys and values. Progress "generate", can be cancelled.
 * Not for one model from two threads at once. Errors: ARG, DATA (a prompt that fills the model's
 * positions, an id outside the vocabulary), NUMERIC (logits that are NaN or infinite: damaged weights, or
 * too large ones), LIMIT, NOMEM, CANCELLED; out then unchanged. */
WHET_API WHET_CHECKED whet_status whet_generate(whet_ctx *ctx, const whet_language_model *model,
                                                const whet_token_rows *prompts,
                                                const whet_generate_opts *opts,
                                                whet_token_rows *out);

#ifdef __cplusplus
}
#endif
#endif
