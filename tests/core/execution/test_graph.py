"""Items that need others: their order, and what is left when one fails."""

from tfrobust.execution.executor import InProcess
from tfrobust.execution.graph import NOT_READY, Graph

NEEDS = {"base": (), "tuned": ("base",), "other": (), "cell": ("tuned", "other")}


class Echo:
    def start(self):
        return str.upper


def test_one_process_works_in_the_order_that_is_given():
    graph = Graph(NEEDS)
    done = []
    for node, rows in InProcess().map(Echo(), graph):
        graph.finish(node)
        done.append(rows)

    assert done == ["BASE", "TUNED", "OTHER", "CELL"]


def test_what_needs_nothing_is_ready_while_another_is_computed():
    graph = Graph(NEEDS)

    assert [next(graph), next(graph)] == ["base", "other"]
    assert next(graph) is NOT_READY
    graph.finish("base")
    assert next(graph) == "tuned"
    assert next(graph) is NOT_READY


def test_what_needs_a_failed_item_is_not_reached():
    graph = Graph(NEEDS)
    assert next(graph) == "base"
    graph.finish("base")
    assert next(graph) == "tuned"
    assert next(graph) == "other"
    graph.finish("other")

    assert next(graph) is NOT_READY
    assert graph.unreached == ["cell"]
    assert len(graph) == 4


def test_one_process_ends_where_what_is_needed_was_not_finished():
    graph = Graph(NEEDS)
    done = [node for node, _ in InProcess().map(Echo(), graph)]

    assert done == ["base", "other"]
    assert graph.unreached == ["tuned", "cell"]
