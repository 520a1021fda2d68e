"""What all tests share: JAX on the CPU with a cache, keys from test names, real files."""

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

ROOT = Path(__file__).resolve().parent.parent

# In the environment, so that the command line and the tutorials, run as processes, have them too.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".cache" / "jax")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["MPLBACKEND"] = "Agg"
# Tests compile much and compute little: the compiler's optimisations cost more than they save, and so do threads.
SPARING = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {SPARING}"

import gc

import hypothesis
import jax
import pytest

gc.set_threshold(
    100_000, 50, 50
)  # tracing makes so many objects that looking for dead ones takes a fiftieth of all

hypothesis.settings.register_profile(
    "assim",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("assim")


MOST_MAPS = 48_000
"""Pieces of memory that a process may have mapped, before Linux refuses more at 65 530 and it dies."""


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[None]:
    """Compiled code let go after a module where there is much: each piece of it is mapped by itself."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> jax.Array:
    """A key of its own for each test, the same on every run."""
    return jax.random.key(crc32(request.node.nodeid.encode()))


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for one test: oracles are compared to more digits than float32 holds."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files that stands beside the repository, or `ASSIM_SHARED_DATA`."""
    path = Path(os.environ.get("ASSIM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the shared folder of real sensor files is not on this machine")
    return path


NIGHTLY = (
    "test_models_x_methods.py::test_a_model_and_a_method[persistence-Laplace]",
    "inference/test_ensemble.py::test_a_learned_scale_does_not_see_the_noise[adam]",
    "test_koopman.py::test_a_variety_that_is_the_gaussian_changes_no_bound",
    "test_koopman.py::test_a_variety_has_the_moments_that_it_says",
    "test_departures.py::test_stations_directions_and_bounds_pass_the_doors",
    "test_crossval.py::test_a_refit_at_every_origin_is_exact",
    "test_forecasting.py::TestWhatComesOut::test_a_draw_may_have_several_paths",
    "test_field_inputs.py::test_a_driven_field_is_learned_by_what_drives_it",
    "test_populations.py::test_a_rotation_is_seen_of_a_cloud_that_is_not_round_alone[5-0.5-0-0.1]",
    "report/test_fields.py::test_an_assimilation_of_a_field_is_shown_as_one[2]",
    "test_field_baselines.py::test_land_is_never_moved_and_fields_move_beside_each_other[dmd]",
    "test_missing.py::test_channels_that_are_never_read_are_as_if_the_model_had_none[Kalman]",
    "test_nonlinear_observation.py::test_each_filter_ends_where_its_kind_does[best linear-EnKF]",
    "test_encoding.py::test_a_new_run_is_as_uncertain_as_runs_are_different",
    "test_encoding.py::test_a_network_behind_encoders_is_fitted_and_forecasts[iterated]",
    "test_unseen.py::test_slopes_are_finite_however_many_are_unseen[FirstSnapshot()]",
    "test_field_months.py::test_leads_of_two_clocks_are_not_compared",
    "test_field_sensors.py::test_sensors_that_move_read_either_field",
    "test_particle.py::test_the_jitter_is_in_bandwidths",
    "test_letkf.py::test_only_so_many_readings_count_where_sensors_move",
    "test_mistakes.py::test_ctrl_c_keeps_the_state_and_the_same_command_goes_on",
    "test_fields.py::test_a_report_shows_maps",
    "test_fields.py::test_buoys_are_read_by_an_ensemble_and_its_members_roll_on",
    "test_assimilating.py::test_a_run_in_two_parts_is_one",
    "test_assimilating.py::test_a_run_goes_on_with_its_filter_and_its_seed",
    "test_report.py::test_objects_by_name_serve_as_well",
    "test_robust.py::test_among_gross_errors_it_is_nearly_as_good_as_one_that_knows_them",
    "test_models_x_methods.py::test_a_model_and_a_method[network-direct-normal-EnsembleMAP]",
    "test_models_x_methods.py::test_a_model_and_a_method[departures-Exact]",
    "test_models_x_methods.py::test_a_model_and_a_method[climatology-Prior]",
    "test_missing.py::test_sensors_that_are_never_read_are_as_if_they_were_not_there[LETKF]",
    "test_missing.py::test_channels_that_are_never_read_are_as_if_the_model_had_none[Particle]",
    "test_regridding.py::test_readings_are_worth_the_same_on_every_grid[24]",
    "test_cutting.py::test_a_record_cut_in_two_is_the_whole[Partial]",
    "test_weak_four_d_var.py::test_the_gradient_is_that_of_finite_differences[3]",
    "test_matching.py::test_the_order_of_samples_and_padding_change_nothing[Adjacent()]",
    "test_matching.py::test_the_order_of_samples_and_padding_change_nothing[Bridge()]",
    "test_published.py::test_padding_tells_nothing",
    "test_published.py::test_a_key_tells_all",
    "test_snapshots.py::test_a_particle_is_assimilated_with_a_fit_to_snapshots",
    "test_koopman_pairs.py::test_and_off_the_pseudospectrum",
    "test_semilinear_inputs.py::test_what_stays_is_zero_on_land_and_read_between_places_on_another_grid[periodic1]",
    "test_loop.py::test_every_method_serves_a_network_and_new_data_trace_nothing[Laplace0]",
    "test_arviz.py::test_lfo_cv[EnsembleMAP]",
    "test_arviz.py::test_lfo_cv[Stein]",
    "test_arviz.py::test_predictive_plots[NUTS-plot_ppc_interval]",
    "test_arviz.py::test_predictive_plots[NUTS-plot_ppc_dist]",
    "test_regridding.py::test_the_same_parameters_move_the_same_wave[16]",
    "test_regridding.py::test_readings_are_worth_the_same_on_every_grid[128]",
    "test_field_baselines.py::test_land_is_never_moved_and_fields_move_beside_each_other[fno]",
    "test_field_baselines.py::test_land_is_never_moved_and_fields_move_beside_each_other[stays]",
    "test_field_baselines.py::test_what_is_foretold_of_each_lead_is_what_paths_do[dmd]",
    "test_smoothers.py::test_a_record_in_stretches_is_the_whole[EnKS of a lag]",
    "test_smoothers.py::test_the_way_forward_is_the_etkf_without_rotation[EnRTS]",
    "test_smoothers.py::test_the_way_forward_is_the_etkf_without_rotation[EnKS of a lag]",
    "test_smoothers.py::test_a_time_without_readings_changes_nothing[EnKS of a lag]",
    "test_smoothers.py::test_a_time_without_readings_changes_nothing[EnRTS]",
    "test_smoothers.py::test_missing_readings_are_as_if_the_sensor_were_not_there[EnRTS]",
    "report/test_fields.py::test_a_forecast_of_a_field_is_shown_as_one[runs]",
    "test_correlated.py::test_a_filter_of_one_state_is_the_exact_one[WeakFourDVar]",
    "test_correlated.py::test_a_filter_of_one_state_is_the_exact_one[ExtendedKalman]",
    "test_correlated.py::test_the_density_of_particles_is_that_of_all_channels_together[plain]",
    "test_correlated.py::test_errors_that_go_together_by_nothing_are_those_alone[IEnKS]",
    "filters/test_ensemble.py::test_many_members_are_the_exact_filter[rotated]",
    "filters/test_ensemble.py::test_many_members_are_the_exact_filter[ETKF]",
    "filters/test_ensemble.py::test_missing_readings_are_as_if_the_sensor_were_not_there[rotated]",
    "filters/test_ensemble.py::test_missing_readings_are_as_if_the_sensor_were_not_there[DEnKF]",
    "filters/test_ensemble.py::test_a_time_without_readings_changes_nothing[rotated]",
    "filters/test_ensemble.py::test_a_time_without_readings_changes_nothing[DEnKF]",
    "test_forecasting.py::TestRefused::test_a_horizon_beyond_that_of_the_fit[naive]",
    "test_reconstructing.py::test_stretches_and_spills_are_the_whole[EnKS]",
    "test_nonlinear_observation.py::test_each_filter_ends_where_its_kind_does[exact-Particle]",
    "test_nonlinear_observation.py::test_each_filter_ends_where_its_kind_does[best linear-EnKFN]",
    "test_nonlinear_observation.py::test_each_filter_ends_where_its_kind_does[mode-WeakFourDVar]",
    "test_assimilating_resumed.py::test_to_go_on_is_to_have_gone_on[WeakFourDVar]",
    "test_assimilating_resumed.py::test_to_go_on_is_to_have_gone_on[IEnKS]",
    "test_assimilating_resumed.py::test_to_go_on_is_to_have_gone_on[EnKFN]",
    "test_assimilating.py::test_to_go_on_is_to_have_gone_on[LETKF]",
    "test_assimilating_populations.py::test_a_particle_is_followed_by_the_law_that_snapshots_taught[EnKF]",
    "test_fields.py::test_a_few_sensors_tell_the_whole_field[LETKF]",
    "test_letkf.py::test_with_an_infinite_radius_it_is_the_etkf[True]",
    "test_visits.py::test_each_visit_shows_other_readings[EnsembleMAP]",
    "test_robust.py::test_a_time_without_readings_changes_nothing[Tolerant]",
    "test_missing.py::test_a_time_without_readings_changes_nothing[LETKF]",
    "test_semilinear.py::test_a_mean_that_is_kept_stays_whatever_was_learned[sizes1]",
    "test_particle.py::test_copies_are_told_apart_by_the_jitter_alone[1.0]",
    "test_noising.py::test_without_noise_a_step_is_the_flow[NavierStokes2D]",
    "test_decoding.py::test_direct_and_iterated_agree_one_step_ahead[t]",
    "test_features.py::test_networks_are_as_fast_as_the_region[reference1]",
    "test_loop.py::test_every_method_serves_a_network_and_new_data_trace_nothing[Stein]",
    "test_arviz.py::test_lfo_cv[NUTS]",
    "test_unseen.py::test_slopes_are_finite_however_many_are_unseen[Adjacent()]",
    "test_semilinear.py::test_land_is_never_moved[sizes1]",
    "report/test_fields.py::test_a_forecast_of_a_field_is_shown_as_one[land]",
    "test_mechanistic.py::test_the_likelihood_is_smooth_in_the_parameters[ETKF]",
    "test_extending.py::test_it_forecasts",
    "test_forecasting.py::TestWhatComesOut::test_stations_keep_their_names_and_their_paths",
    "test_forecasting.py::test_the_calendar_goes_on_beyond_the_record",
    "test_published.py::test_a_gate_learns_to_read",
    "test_tuning.py::test_a_batch_is_what_each_gives_alone",
    "test_smoothers.py::test_a_lag_is_the_smoother_of_as_many_cycles_more",
    "test_letkf.py::test_over_the_earth_a_place_is_corrected_by_what_is_near_it",
    "test_robust.py::test_members_with_parameters_of_their_own",
    "test_generating.py::test_the_kalman_filter_serves_its_draws",
    "test_generating.py::test_inputs_need_a_plan",
    "test_coupling.py::test_the_value_has_the_curvature_of_differences",
    "test_korteweg_de_vries.py::test_slopes_forward_backward_and_by_differences_agree",
    "test_populations.py::test_a_fit_goes_on_with_new_snapshots_and_one_more",
    "test_populations_lost.py::test_where_none_is_lost_nothing_is_weighed",
    "test_populations_lost.py::test_paths_use_all_draws_before_one_is_used_again",
    "test_kuramoto_sivashinsky.py::test_its_steps_are_of_fourth_order",
    "models/test_semilinear.py::test_without_its_network_a_field_decays_as_its_rates_say[3.0]",
    "test_assimilating.py::test_a_fit_goes_on_after_a_gap",
    "bridge/test_unseen.py::test_paths_and_forecasts_show_it",
    "test_coupling.py::test_far_from_the_end_the_value_is_that_of_the_dual",
    "test_populations.py::test_by_default_chains_are_adjusted_where_terms_are_enough",
    "test_backtesting.py::test_one_fit_serves_all_origins_or_every_so_many",
    "test_inferring_systems.py::test_every_method_that_follows_a_slope_serves[NoneType]",
    "test_matching.py::test_the_order_of_samples_and_padding_change_nothing[FirstSnapshot()]",
    "test_crossval.py::test_exact_scores_are_those_of_the_conjugate_predictive[2]",
    "test_populations_lost.py::test_known_survivors_are_the_ones_that_are_left",
    "test_populations_lost.py::test_a_particle_that_is_known_and_gone_is_nowhere",
    "test_field_observer_draws.py::test_an_analysis_is_spread_as_its_draws_differ",
    "models/test_semilinear.py::test_parameters_of_one_grid_hold_on_a_finer_one",
    "test_field_inputs.py::test_a_checkpoint_is_of_one_pattern",
    "test_field_inputs.py::test_each_reading_is_judged_by_what_drove_it",
    "test_gain.py::test_stretches_are_read_as_the_settings_say",
    "test_loop.py::test_every_method_serves_a_network_and_new_data_trace_nothing[Laplace1]",
    "test_smoothers.py::test_a_record_in_stretches_is_the_whole[RTS]",
    "test_smoothers.py::test_the_way_forward_is_the_etkf_without_rotation[EnKS]",
    "test_semilinear_spans.py::test_a_fit_that_was_told_no_span_is_none_to_go_on_from",
    "test_assimilating_parameters.py::test_names_in_a_list_are_as_the_one_name",
    "cli/test_fields.py::test_a_fit_of_one_draw_has_as_many_members_as_the_filter",
    "test_kovae.py::test_steps_lower_the_loss",
    "test_regridding.py::test_verbs_take_it",
    "test_field_forecasts.py::test_many_paths_are_scored_alike_in_blocks_and_alone",
    "test_laplace.py::test_a_baseline_has_no_last_layer_but_a_curvature",
    "test_patterns.py::test_without_layers_an_operator_is_linear_and_has_rates_and_noise_alone",
    "test_assimilating.py::test_to_go_on_is_to_have_gone_on[Particle]",
    "test_variational.py::test_a_model_may_make_its_own_guide[None]",
    "test_correlated.py::test_a_smoother_takes_them_too",
    "test_correlated.py::test_the_density_of_particles_is_that_of_all_channels_together[guided]",
    "test_correlated.py::test_a_filter_of_one_state_is_the_exact_one[ThreeDVar]",
    "test_field_baselines.py::test_land_is_never_moved_and_fields_move_beside_each_other[climate]",
    "test_field_baselines.py::test_what_is_foretold_of_each_lead_is_what_paths_do[persistence]",
    "test_robust.py::test_a_time_without_readings_changes_nothing[Gated]",
    "test_robust.py::test_the_mean_is_that_of_an_error_with_heavy_tails[0.0-1.0]",
    "test_assimilating_populations.py::test_a_particle_is_followed_by_the_law_that_snapshots_taught[GuidedParticle]",
    "test_letkf.py::test_sensors_that_are_said_to_stay_are_as_those_that_stay",
    "test_enkf_n.py::test_a_time_without_readings_changes_nothing",
    "test_enkf_n.py::test_missing_readings_are_as_if_the_sensor_were_not_there",
    "test_weak_four_d_var.py::test_a_time_without_readings_changes_nothing",
    "test_weak_four_d_var.py::test_missing_readings_are_as_if_the_sensor_were_not_there",
    "test_nonlinear_observation.py::test_each_filter_ends_where_its_kind_does[mode-IEnKS]",
    "is_no_gaussian_is_read_by_its_moments_or_by_its_density[best linear-ETKF]",
    "test_guided_particle.py::test_missing_readings_are_as_if_the_sensor_were_not_there",
    "test_mechanistic.py::test_errors_that_go_together_are_told_together",
    "test_published_sbirr.py::test_without_a_drift_there_are_paths_alone",
    "test_arviz.py::test_methods_are_compared_on_the_same_points",
    "test_field_observer_draws.py::test_one_draw_is_told_by_a_hundred_members_that_roll_on",
    "test_gain.py::test_before_it_learns_each_place_is_a_kalman_filter_of_its_own",
    "test_semilinear_spans.py::test_readings_at_the_ends_of_the_spans_are_trusted",
    "cli/test_fields.py::test_readings_without_units_and_sensors_elsewhere_are_told",
    "test_models_x_methods.py::test_a_model_and_a_method[linear-iterated-fixed-LastLayer]",
    "test_populations_lost.py::test_one_that_is_lost_is_not_drawn_to_another",
    "test_coupling.py::test_slopes_are_finite_where_all_who_arrive_are_known",
    "bridge/test_published.py::test_every_path_meets_its_sample_and_nearly_all_other_snapshots",
)
"""What waits for `make test-all`: near repetitions of what does not."""
KINDS = {
    "test_arviz.py": ("EnsembleMAP", "Laplace", "NUTS", "Stein"),
    "test_statespaces.py": (
        *("almost-linear", "departures", "drawn-fields", "kuramoto-sivashinsky", "learned-fields"),
        *("pendulum", "repressilator", "rijke-tube", "shallow", "van-der-pol"),
    ),
}
"""Of contracts that all keep, the kinds that wait too: others of theirs do not."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them slow before the choice is made."""
    for item in items:
        kinds = KINDS.get(item.path.name, ())
        if item.nodeid.endswith(NIGHTLY) or item.name.partition("[")[2].startswith(kinds):
            item.add_marker(pytest.mark.slow)
