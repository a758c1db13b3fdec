"""Optimizers that treat the layers of a model differently."""

import keras

__all__ = ["LayerwiseAdamW"]


@keras.saving.register_keras_serializable(package="keras_attention")
class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW with a learning rate of its own for each layer.

    For fine-tuning: the first layers of a pretrained model, which fit most
    data, move less than the last. `ViT.learning_rate_factors` gives the usual
    factors, which fall by a constant from block to block (Clark et al., 2020,
    section 3.2; Bao et al., 2022, table 9). Scaling gradients would do nothing
    under Adam, which divides by their size; here the step itself is scaled,
    its weight decay too.

    Args:
        learning_rate: The highest rate, a number or a schedule.
        factors: From the paths of variables to the factors of their rates;
            1 for those that are left out.
        weight_decay: As of `keras.optimizers.AdamW`.
        **kwargs: The other arguments of `keras.optimizers.AdamW`.

    Raises:
        ValueError: A factor is negative, or for no variable that is trained.

    Examples:
        >>> from keras_attention import optimizers
        >>> from keras_attention.models import ViT
        >>> model = ViT.from_preset("vit_tiny", num_layers=2)
        >>> factors = model.learning_rate_factors(0.5)
        >>> factors["block_0/feed_forward/output/bias"], factors["head/bias"]
        (0.25, 1.0)
        >>> model.compile(
        ...     optimizers.LayerwiseAdamW(1e-3, factors),
        ...     "sparse_categorical_crossentropy",
        ... )

    Reference:
        [Loshchilov and Hutter, 2019](https://arxiv.org/abs/1711.05101) for
        AdamW; [Clark et al., 2020](https://arxiv.org/abs/2003.10555), section
        3.2, for rates by layer.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        factors: dict[str, float] | None = None,
        weight_decay: float = 4e-3,
        **kwargs,
    ):
        super().__init__(learning_rate, weight_decay, **kwargs)
        self.factors = dict(factors or {})
        for path, factor in self.factors.items():
            if not factor >= 0:
                raise ValueError(
                    "`factors` must not be negative. Received: "
                    f"{path}: {factor}."
                )

    def build(self, variables):
        unknown = set(self.factors) - {variable.path for variable in variables}
        if unknown:
            raise ValueError(
                "`factors` must be for variables that are trained. Received: "
                f"{sorted(unknown)}; there are "
                f"{[variable.path for variable in variables]}."
            )
        super().build(variables)

    def _groups(self, variables):
        """The indices of variables by their factor."""
        groups = {}
        for index, variable in enumerate(variables):
            factor = self.factors.get(variable.path, 1.0)
            groups.setdefault(factor, []).append(index)
        return groups.items()

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for factor, group in self._groups(trainable_variables):
            super()._backend_update_step(
                [grads[i] for i in group],
                [trainable_variables[i] for i in group],
                learning_rate * factor,
            )

    def _apply_weight_decay(self, variables):
        decay = self.weight_decay
        if decay is None:
            return
        try:
            for factor, group in self._groups(variables):
                self.weight_decay = decay * factor
                super()._apply_weight_decay([variables[i] for i in group])
        finally:
            self.weight_decay = decay

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}
