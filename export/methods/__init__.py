"""One loader for each family of methods: from checkpoints in the authors' layouts to a model that can be exported."""
