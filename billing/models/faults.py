"""Where the ledger does not add up."""

from django.db import models

from tenants.ids import uuid7


class LedgerFault(models.Model):
    """Something that lines, sums or accounts say and others contradict. Written by `check_ledger` alone.

    It is open until a check no longer finds it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=16)
    pseudonym = models.UUIDField(help_text="The tenant's id, which names nobody once the tenant is erased.")
    subject = models.CharField(max_length=300)
    day = models.DateField(null=True, help_text="Of what is wrong; empty for accounts, which are checked each time.")
    expected = models.DecimalField(max_digits=40, decimal_places=12)
    found = models.DecimalField(max_digits=40, decimal_places=12)
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When a check found it last.")
    resolved_at = models.DateTimeField(null=True)

    app_may = ("SELECT",)
    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "pseudonym", "subject"], name="billing_ledgerfault_once")
        ]
        indexes = [models.Index(fields=["kind"], name="billing_ledgerfault_open", condition=models.Q(resolved_at=None))]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"
