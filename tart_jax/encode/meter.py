"""What an encoder or a scorer has done, and how fast."""

from dataclasses import dataclass

from tart_jax import hardware


@dataclass
class Meter:
    """Counts in its own unit.

    slots: the tokens computed, padding included. waited: seconds in which nothing was there to
    compute, as reading and tokenizing took longer. flops: those of the texts' own tokens, see
    `models.flops`. devices: that share the work.
    """

    unit: str
    count: int = 0
    tokens: int = 0
    slots: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    flops: float = 0.0
    devices: int = 1

    @property
    def padding(self) -> float:
        """The share of computed tokens that was padding, 0 to 1."""
        return 1 - self.tokens / self.slots if self.slots else 0.0

    @property
    def waiting(self) -> float:
        """The share of the time that was waited for input, 0 to 1."""
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def mfu(self) -> float | None:
        """Model FLOPs utilisation: the share of the devices' bfloat16 peak; None: not known."""
        peak = hardware.peak(self.devices)
        return self.flops / max(self.seconds, 1e-9) / peak if peak and self.flops else None

    def rates(self) -> dict[str, str]:
        """Units/s, tokens/s and the shares of padding, waiting and peak, for a progress bar."""
        seconds = max(self.seconds, 1e-9)
        rates = {
            f"{self.unit}/s": f"{self.count / seconds:.1f}",
            "tokens/s": f"{self.tokens / seconds:,.0f}",
            "padding": f"{self.padding:.1%}",
            "waiting": f"{self.waiting:.1%}",
        }
        mfu = self.mfu
        return rates if mfu is None else rates | {"MFU": f"{mfu:.1%}"}
