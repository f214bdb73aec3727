"""On what macOS's own programs print."""

from modelyard_worker_agent.adapters.accelerators.apple import devices_of, readings_of

GIB = 2**30

PROFILE = """{
  "SPDisplaysDataType" : [
    {
      "_name" : "Apple M2 Max",
      "spdisplays_mtlgpufamilysupport" : "spdisplays_metal3",
      "spdisplays_vendor" : "sppci_vendor_Apple",
      "sppci_bus" : "spdisplays_builtin",
      "sppci_cores" : "38",
      "sppci_device_type" : "spdisplays_gpu",
      "sppci_model" : "Apple M2 Max"
    }
  ],
  "SPSoftwareDataType" : [ { "_name" : "os_overview", "os_version" : "macOS 15.5 (24F74)" } ]
}"""

INTEL = """{ "SPDisplaysDataType" : [ { "_name" : "kHW_IntelUHDGraphics630Item",
  "spdisplays_vendor" : "Intel", "sppci_model" : "Intel UHD Graphics 630" } ] }"""

IOREG = """\
+-o AGXAcceleratorG14X  <class AGXAcceleratorG14X, id 0x100000520, registered, matched, active, busy 0>
    {
      "PerformanceStatistics" = {"In use system memory (driver)"=0,"Alloc system memory"=4272832512,\
"Tiler Utilization %"=54,"recoveryCount"=0,"Renderer Utilization %"=57,"Device Utilization %"=57,\
"In use system memory"=1200357376}
      "model" = "Apple M2 Max"
    }
"""


def test_the_gpu_has_the_memory_of_the_machine() -> None:
    [device] = devices_of(PROFILE, 96 * GIB)

    assert (device.vendor, device.key, device.name) == ("apple", "mps:0", "Apple M2 Max")
    assert (device.memory_total_bytes, device.is_unified_memory) == (96 * GIB, True)
    assert device.driver_version == "macOS 15.5 (24F74)"


def test_other_gpus_do_not_count() -> None:
    assert devices_of(INTEL, 16 * GIB) == ()
    assert devices_of("", 16 * GIB) == ()


def test_how_busy_it_is() -> None:
    [reading] = readings_of(IOREG)

    assert (reading.device, reading.memory_used_bytes) == ("mps:0", 1200357376)
    assert reading.utilization_percent == 57.0
    assert readings_of("") == ()
