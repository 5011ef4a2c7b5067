# SPDX-License-Identifier: Apache-2.0
"""SetFit and PEFT LoRA as the peers of `whet adapt --adapter auto` on few labels.

    few_labels.py setfit|lora MODEL TASK.json THREADS SEED [DEVICE]

DEVICE is cpu or cuda; both in f32, without TF32. TASK.json holds texts, labels, test_texts, test_labels (numbers
0..) and max_length. Prints one line of JSON: accuracy, seconds of a clock and of processor, the peak of memory in MB
(of the processor); loading of libraries and model is not counted in seconds.

setfit  its defaults (cosine loss, batches of 16, 2e-5, one epoch), 10 pairs of each kind a label as its authors have
        it for few-shot tables (2,000 pairs of 100 labels), logistic head
lora    cross-entropy; rank 8, alpha 16 on query, key and value, 30 epochs in batches of 16, 1e-3, 10 % warm-up,
        linear: the best of three settings on rows of trec that no method is tested on
"""
import json
import random
import resource
import sys
import time

import torch


def setfit(model_dir, task, seed, device):
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    model = SetFitModel.from_pretrained(model_dir, device=device)
    if task["max_length"]:
        model.model_body.max_seq_length = task["max_length"]
    begin = time.perf_counter(), time.process_time()
    args = TrainingArguments(batch_size=16, num_epochs=1, num_iterations=10, seed=seed, report_to="none",
                             save_strategy="no", use_amp=False, show_progress_bar=False)
    rows = Dataset.from_dict({"text": task["texts"], "label": task["labels"]})
    Trainer(model=model, args=args, train_dataset=rows).train()
    guesses = [int(g) for g in model.predict(task["test_texts"], batch_size=64, show_progress_bar=False)]
    return begin, guesses


def lora(model_dir, task, seed, device):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForSequenceClassification.from_pretrained(model_dir, num_labels=max(task["labels"]) + 1)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, task_type="SEQ_CLS",
                                             target_modules=["query", "key", "value"])).to(device)
    length = task["max_length"] or 256  # the model's own, as sentence-transformers has it

    def encode(texts):
        return tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt").to(device)

    begin = time.perf_counter(), time.process_time()
    order, epochs, batch = list(range(len(task["texts"]))), 30, 16
    total = epochs * -(-len(order) // batch)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    schedule = get_linear_schedule_with_warmup(optimizer, total // 10, total)
    model.train()
    for _ in range(epochs):
        random.shuffle(order)
        for i in range(0, len(order), batch):
            part = order[i:i + batch]
            out = model(**encode([task["texts"][k] for k in part]),
                        labels=torch.tensor([task["labels"][k] for k in part], device=device))
            out.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    guesses, texts = [], task["test_texts"]
    with torch.inference_mode():
        for i in range(0, len(texts), 64):
            guesses += model(**encode(texts[i:i + 64])).logits.argmax(1).tolist()
    return begin, guesses


def main():
    method, model_dir, path, threads, seed, device = (sys.argv[1:] + ["cpu"])[:6]
    torch.set_num_threads(int(threads))
    random.seed(int(seed))
    torch.manual_seed(int(seed))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with open(path, encoding="utf-8") as file:
        task = json.load(file)
    begin, guesses = {"setfit": setfit, "lora": lora}[method](model_dir, task, int(seed), device)
    right = sum(g == y for g, y in zip(guesses, task["test_labels"]))
    print(json.dumps({
        "accuracy": right / len(guesses),
        "wall_seconds": round(time.perf_counter() - begin[0], 1),
        "processor_seconds": round(time.process_time() - begin[1], 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }))


if __name__ == "__main__":
    main()
