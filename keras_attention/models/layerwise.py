from keras_attention.models.model import Model
from keras_attention.ops import checks


class LayerwiseModel(Model):
    """A model whose layers can be told by their depth, for fine-tuning.

    A subclass has `num_layers`, the number of its blocks, and `depth_of`.
    """

    num_layers: int

    @property
    def num_blocks(self) -> int:
        """Blocks in a row."""
        return self.num_layers

    def depth_of(self, name: str) -> int:
        """How deep a layer lies: 0 for embeddings, i + 1 for block i, and more
        than the last block's for what follows.
        """
        raise NotImplementedError(f"{type(self).__name__} has no depths.")

    def freeze(self, num_blocks: int | None = None):
        """Keeps the first blocks, and the embeddings, as they are.

        Args:
            num_blocks: How many blocks are frozen; all of them, and the last
                normalization, if None: the head alone learns, a linear probe.
                0 makes everything trainable again.

        Raises:
            ValueError: There are not so many blocks.
        """
        if num_blocks is None:
            num_blocks = self.num_blocks + 1
        elif not 0 <= num_blocks <= self.num_blocks:
            raise ValueError(
                "`num_blocks` must be between 0 and the number of blocks, "
                f"{self.num_blocks}. Received: num_blocks={num_blocks}."
            )
        for layer in self.layers:
            depth = self.depth_of(layer.name)
            layer.trainable = num_blocks == 0 or depth > num_blocks

    def learning_rate_factors(self, decay: float = 0.75) -> dict[str, float]:
        """Factors of learning rates that fall from the last block to the first.

        For `optimizers.LayerwiseAdamW`: 1 behind the last block, `decay` in
        it, `decay ** 2` in the one before, and so on down to the embeddings
        (Bao et al., 2022, table 9).

        Args:
            decay: Factor from a block to the one before it.

        Returns:
            A dict from the paths of all trainable weights.

        Raises:
            ValueError: `decay` is not positive.
        """
        checks.positive(decay, "decay")
        last = self.num_blocks + 1
        return {
            weight.path: float(decay)
            ** max(0, last - self.depth_of(weight.path.partition("/")[0]))
            for weight in self.trainable_weights
        }
