#include "tests/unit/small_vocabulary.h"

#include <stdio.h>
#include <string.h>

/* GPT-2's spelling of a byte, in UTF-8. Written from the paper's rule, not from model/. */
static void small_bpe_spell(int byte, char out[4])
{
    int code = byte, shifted = 0;

    for (int b = 0; b <= byte; b++) {
        int prints = (b > ' ' && b < 0x7f) || (b > 0xa0 && b != 0xad);

        if (b == byte && !prints)
            code = 256 + shifted;
        shifted += !prints;
    }
    if (code < 0x80)
        snprintf(out, 4, "%c", code);
    else
        snprintf(out, 4, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f));
}

void small_bpe_write(struct gguf_bytes *bytes, const char *pre)
{
    static const char *const more[] = {"aa",
                                       "bc",
                                       "ab",
                                       "aaaa",
                                       "he",
                                       "ll",
                                       "hell",
                                       "hello",
                                       "\xc4\xa0hello",
                                       "<|",
                                       "\xc3\xa2\xc4\xa4",
                                       "abcabc",
                                       "<tool>",
                                       "<tool>x",
                                       "   ",
                                       "<|bos|>",
                                       "<|eos|>",
                                       "<|im_end|>"};
    static const char *const merges[] = {"a a",
                                         "b c",
                                         "a b",
                                         "aa aa",
                                         "h e",
                                         "l l",
                                         "he ll",
                                         "hell o",
                                         "\xc4\xa0 hello",
                                         "< |",
                                         "\xc3\xa2 \xc4\xa4"};
    char spelled[256][4];
    const char *tokens[SMALL_BPE_COUNT];
    int32_t types[SMALL_BPE_COUNT];

    for (int id = 0; id < SMALL_BPE_COUNT; id++) {
        types[id] = id >= SMALL_BPE_BOS ? 3 : id >= SMALL_BPE_TOOL ? 4 : 1;
        if (id < 256)
            small_bpe_spell(id, spelled[id]);
        tokens[id] = id < 256 ? spelled[id] : more[id - 256];
    }
    gguf_bytes_string(bytes, "tokenizer.ggml.model", "gpt2");
    gguf_bytes_string(bytes, "tokenizer.ggml.pre", pre);
    gguf_bytes_strings(bytes, "tokenizer.ggml.tokens", tokens, SMALL_BPE_COUNT);
    gguf_bytes_i32s(bytes, "tokenizer.ggml.token_type", types, SMALL_BPE_COUNT);
    gguf_bytes_strings(bytes, "tokenizer.ggml.merges", merges, sizeof merges / sizeof *merges);
    gguf_bytes_u32(bytes, "tokenizer.ggml.bos_token_id", SMALL_BPE_BOS);
    gguf_bytes_u32(bytes, "tokenizer.ggml.eos_token_id", SMALL_BPE_EOS);
}

void small_spm_write(struct gguf_bytes *bytes)
{
    static const char *const more[] = {"\xe2\x96\x81",
                                       "a",
                                       "b",
                                       "c",
                                       "<",
                                       "/",
                                       "s",
                                       ">",
                                       "</",
                                       "</s",
                                       "bc",
                                       "ab",
                                       "\342\226\201a",
                                       "\xe2\x96\x81\xe2\x96\x81",
                                       "\xc3\xa9"};
    char byte_names[256][8];
    const char *tokens[SMALL_SPM_COUNT] = {"<unk>", "<s>", "</s>"};
    int32_t types[SMALL_SPM_COUNT] = {2, 3, 3};
    float scores[SMALL_SPM_COUNT] = {0};

    for (int id = 3; id < SMALL_SPM_COUNT; id++) {
        types[id] = id < SMALL_SPM_SPACE ? 6 : 1;
        scores[id] = id < SMALL_SPM_LT_SLASH ? -100.0f : (float)(SMALL_SPM_LT_SLASH_S - id);
        if (id < SMALL_SPM_SPACE)
            snprintf(byte_names[id - 3], sizeof byte_names[0], "<0x%02X>", (unsigned)(id - 3));
        tokens[id] = id < SMALL_SPM_SPACE ? byte_names[id - 3] : more[id - SMALL_SPM_SPACE];
    }
    gguf_bytes_string(bytes, "tokenizer.ggml.model", "llama");
    gguf_bytes_strings(bytes, "tokenizer.ggml.tokens", tokens, SMALL_SPM_COUNT);
    gguf_bytes_i32s(bytes, "tokenizer.ggml.token_type", types, SMALL_SPM_COUNT);
    gguf_bytes_f32s(bytes, "tokenizer.ggml.scores", scores, SMALL_SPM_COUNT);
    gguf_bytes_u32(bytes, "tokenizer.ggml.bos_token_id", 1);
    gguf_bytes_u32(bytes, "tokenizer.ggml.eos_token_id", 2);
    gguf_bytes_u32(bytes, "tokenizer.ggml.unknown_token_id", 0);
}
