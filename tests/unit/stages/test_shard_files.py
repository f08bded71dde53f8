from peerkd.stages.shard_files import files_of_shards


def test_the_claims_marks_and_journals_of_the_chosen_shards_are_found():
    chosen = ["scratch/claims/old/w", "scratch/done/old", "scratch/journals/old/w.jsonl"]
    others = ["scratch/claims/new/w", "scratch/done/new", "scratch/beats/old", "scratch/old.safetensors"]
    assert files_of_shards([*others, *chosen], lambda name: name == "old") == chosen
