# SPDX-License-Identifier: Apache-2.0
# The arithmetic of the comparisons, and the scales of the charts.

import sys
import unittest

sys.dont_write_bytecode = True
from charts import bars, round_step
from paired import holds, ratio_of, ratio_of_medians, turns


class Paired(unittest.TestCase):
  def test_the_interval_holds_the_median_and_is_the_same_each_time(self):
    ratios = [1.0, 1.02, 0.98, 1.5, 1.01, 0.99, 1.03]
    found = ratio_of(ratios)
    self.assertEqual(found["median"], 1.01)
    self.assertLessEqual(found["low"], 1.01)
    self.assertGreaterEqual(found["high"], 1.01)
    self.assertEqual(found, ratio_of(ratios))

  def test_equal_ratios_leave_no_doubt(self):
    self.assertEqual((1.25, 1.25), (ratio_of([1.25] * 5)["low"], ratio_of([1.25] * 5)["high"]))
    self.assertEqual(2, ratio_of_medians([4.0] * 3, [2.0] * 5)["median"])

  def test_a_bound_is_exceeded_only_when_the_whole_interval_is_beyond_it(self):
    doubtful = {"low": 1.04, "median": 1.08, "high": 1.12}
    self.assertTrue(holds(doubtful, at_most=1.05))
    self.assertFalse(holds(doubtful, at_most=1.03))
    self.assertTrue(holds(doubtful, at_least=1.10))
    self.assertFalse(holds(doubtful, at_least=1.13))

  def test_each_server_is_first_as_often_as_last(self):
    orders = [turns(list("abcd"), index) for index in range(8)]
    for place in (0, -1):
      self.assertEqual(sorted("aabbccdd"), sorted(order[place] for order in orders))


class Charts(unittest.TestCase):
  def test_a_scale_has_at_most_five_round_steps(self):
    self.assertEqual([0.02, 2, 5, 10, 500], [round_step(most) for most in (0.09, 7, 21.3, 35, 2_400)])

  def test_what_a_label_says_is_no_markup(self):
    self.assertIn("a &lt; b", bars("t", "n", [("epoll", "a < b", 1.0, "1")]))


if __name__ == "__main__":
  unittest.main()
