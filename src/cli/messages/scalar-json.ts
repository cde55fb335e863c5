import { ScalarType } from '@bufbuild/protobuf'

/** The default of a scalar as protobuf JSON: numbers of 64 bits are texts there. */
export function scalarOf(scalar: ScalarType | undefined): string | number | boolean {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return ''
    case ScalarType.BOOL:
      return false
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return '0'
    default:
      return 0
  }
}
