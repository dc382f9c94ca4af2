from __future__ import annotations

import torch

from genrec.data import Dataset, InMemory, SequenceData
from genrec.recommenders.alone import set_up
from genrec.types import PAD, Batch
from genrec_baselines import BERT4Rec
from genrec_baselines.bert4rec import BERT4RecNetwork, hide


def test_a_share_of_every_sequence_is_hidden_and_never_padding() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([1, 2, 5, 10])
    real = torch.arange(10) >= 10 - lengths[:, None]
    places, counts = hide(real, 0.4, 0)
    assert counts.sum(1).tolist() == [1, 1, 2, 4]
    assert real.gather(1, places)[counts].all()
    found = {tuple(hide(real, 0.4, 0).places[3].sort().values.tolist()) for _ in range(50)}
    assert len(found) > 20, "others in every epoch"
    assert all(len(set(row)) == 4 for row in found)


def test_some_sequences_hide_their_last_item_alone() -> None:
    torch.manual_seed(0)
    places, counts = hide(torch.ones(2000, 8, dtype=torch.bool), 0.5, 0.25)
    alone = (counts.sum(1) == 1) & (places[:, 0] == 7)
    assert 0.2 < alone.float().mean() < 0.3
    assert (counts[~alone].sum(1) == 4).all()


@torch.no_grad()
def test_what_is_hidden_is_not_seen_and_both_sides_are() -> None:
    torch.manual_seed(0)
    network = BERT4RecNetwork(12, 8, 2, 2, 0.5, 10).eval()
    history = torch.tensor([[PAD, 3, 1, 4, 5]])
    hidden = torch.tensor([[False, False, True, False, False]])
    before = network(history, hidden)[0, 2]
    for place, felt in ((1, True), (2, False), (4, True)):
        changed = history.clone()
        changed[0, place] = 9
        assert torch.allclose(network(changed, hidden)[0, 2], before) != felt


def test_the_loss_is_the_mean_over_hidden_items_and_ranking_looks_at_a_mask(dataset: Dataset) -> None:
    model = BERT4Rec(dim=8, dropout=0.0, hidden=0.5, ks=(1,))
    set_up(model, SequenceData(InMemory(dataset), samples="users"))
    network = model.network
    assert isinstance(network, BERT4RecNetwork)
    history = torch.tensor([[PAD, PAD, 3], [2, 7, 1]])
    batch = Batch(torch.arange(2), history, torch.tensor([6, 9]), torch.empty(2, 0, dtype=torch.long))
    items = torch.tensor([[PAD, PAD, 3, 6], [2, 7, 1, 9]])
    torch.manual_seed(3)
    chosen = [row[count].tolist() for row, count in zip(*hide(items != PAD, 0.5, 0.1), strict=True)]
    torch.manual_seed(3)
    loss = model.loss_of(batch)
    losses = []
    for row, places in enumerate(chosen):
        real = items[row][items[row] != PAD]
        masked = torch.tensor([place in places for place in range(4)])[-len(real) :]
        states = network(real[None], masked[None])[0]
        for place in masked.nonzero()[:, 0]:
            scores = network.items.weight @ states[place]
            losses.append(torch.logsumexp(scores, 0) - scores[real[place]])
    assert len(losses) == sum(map(len, chosen))
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    with torch.no_grad():
        behind = torch.tensor([[2, 7, 1, 0]])
        expected = network(behind, torch.tensor([[False, False, False, True]]))[0, -1]
        torch.testing.assert_close(model.state(history)[1], expected)
